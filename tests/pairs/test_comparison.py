"""The four relations."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from sida.errors import PictureError
from sida.image.read import read_mask
from sida.pairs import compare
from sida.pairs.registration import warp
from tests.pairs.pictures import jpeg, overlap, scene, similarity, with_blot

EXAMPLES = Path(__file__).parents[2] / "examples"
FRAME = similarity(1.1, 0.8, 12, 9), (195, 260)


@pytest.mark.parametrize("quality", [70, 95])
def test_a_region_in_a_shifted_scaled_turned_recoded_picture(quality: int) -> None:
    original = scene()
    edited, mask = with_blot(original)
    edited, _ = warp(edited, *FRAME)
    truth = warp(mask.astype(np.uint8) * np.uint8(255), *FRAME)[0] > 127
    comparison = compare(jpeg(original, 90), jpeg(edited, quality))
    assert comparison.relation == "local"
    assert comparison.mask.shape == edited.shape[:2]
    assert overlap(comparison.mask, truth) > 0.9
    assert comparison.share == pytest.approx(truth.mean(), rel=0.15)
    assert 0 < comparison.noise < 5


@pytest.mark.parametrize("quality", [60, 75, 95])
def test_a_recoded_resized_crop_is_the_same(quality: int) -> None:
    original = scene()
    comparison = compare(original, jpeg(warp(original, *FRAME)[0], quality))
    assert (comparison.relation, comparison.share) == ("same", 0)


def test_a_picture_is_itself() -> None:
    comparison = compare(scene(), scene())
    assert comparison.as_json() == {"relation": "same", "share": 0, "noise": 0, "covered": 1}


@pytest.mark.parametrize(
    "rerender",
    [
        lambda pixels: cv2.fastNlMeansDenoisingColored(pixels, None, 10, 10),
        lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 1.5),
        lambda pixels: (pixels * 0.8 + 30).astype(np.uint8),
        lambda pixels: cv2.bilateralFilter(pixels, 11, 60, 7),
    ],
    ids=["denoised", "blurred", "toned", "smoothed"],
)
def test_a_rerendered_picture_is_told_from_a_recoded_one(rerender: object) -> None:
    original = scene()
    rerendered, _ = warp(rerender(original), *FRAME)
    comparison = compare(original, jpeg(rerendered, 85))
    assert (comparison.relation, comparison.share) == ("whole", 1)


def test_unrelated_pictures() -> None:
    comparison = compare(scene(), scene(200, 200, seed=5))
    assert comparison.as_json() == {
        "relation": "unrelated",
        "share": 1,
        "noise": None,
        "covered": 0,
    }


@pytest.mark.parametrize(
    ("original", "edited"),
    [("coffee", "coffee_spliced"), ("cat", "cat_regenerated"), ("heath", "heath_copied")],
)
def test_the_examples(original: str, edited: str) -> None:
    comparison = compare(EXAMPLES / f"real/{original}.jpg", EXAMPLES / f"tampered/{edited}.jpg")
    assert comparison.relation == "local"
    assert overlap(comparison.mask, read_mask(EXAMPLES / f"masks/{edited}_mask.png") > 127) > 0.8


@pytest.mark.parametrize("size", [(1, 1), (2, 90), (7, 5), (64, 64)])
def test_tiny_and_flat_pictures(size: tuple[int, int]) -> None:
    flat = np.full((*size, 3), 90, np.uint8)
    assert compare(flat, flat).relation == "same"
    assert compare(scene(), flat).mask.shape == size
    assert compare(flat, scene()).relation == "unrelated"


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(PictureError, match=r"a\.jpg"):
        compare(scene(), tmp_path / "a.jpg")
