"""Regions: of the right size, within the wanted area, of the kind that was asked for."""

import numpy as np
import pytest

from sida.forge.config import RegionMethod
from sida.forge.regions import ObjectMask, draw_region
from sida.image.components import components
from sida.image.geometry import bounding_box

from .conftest import Pixels, photo

AREA = (0.02, 0.3)


@pytest.mark.parametrize("method", ["object", "foreground", "superpixels", "shape", "segmenter"])
@pytest.mark.parametrize("seed", range(12))
def test_a_region_has_the_wanted_area(method: RegionMethod, seed: int) -> None:
    pixels = photo(seed, 96 + seed, 120)
    region = draw_region(pixels, np.random.default_rng(seed), {method: 1}, AREA)
    assert region.mask.shape == pixels.shape[:2]
    assert region.mask.dtype == bool
    assert 0.005 < region.mask.mean() < 0.45
    assert region.method in ("foreground", "superpixels", "shape")  # no object is known here
    again = draw_region(pixels, np.random.default_rng(seed), {method: 1}, AREA)
    assert np.array_equal(again.mask, region.mask)


def test_all_shapes_come() -> None:
    rngs = map(np.random.default_rng, range(60))
    regions = [draw_region(photo(0), rng, {"shape": 1}, AREA) for rng in rngs]
    assert {region.parameters["shape"] for region in regions} == {
        "ellipse", "rectangle", "blob", "stroke", "brush", "square"
    }  # fmt: skip


def test_superpixels_hold_together_and_follow_the_picture() -> None:
    pixels = np.full((120, 120, 3), 30, np.uint8)
    pixels[30:90, 30:90] = (220, 60, 40)
    pixels = (pixels + np.random.default_rng(0).integers(0, 20, pixels.shape)).astype(np.uint8)
    inside = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        mask = draw_region(pixels, rng, {"superpixels": 1}, (0.05, 0.15)).mask
        assert components(mask)[0].pixels > 0.9 * mask.sum()
        inside.append(mask[30:90, 30:90].sum() / mask.sum())
    assert sum(share > 0.75 or share < 0.25 for share in inside) >= 8


def test_the_foreground_is_what_stands_out_of_the_border() -> None:
    pixels = np.full((120, 160, 3), (40, 90, 160), np.uint8)
    thing = np.zeros((120, 160), bool)
    thing[35:85, 50:105] = True
    pixels[thing] = (220, 60, 40)
    pixels = (pixels + np.random.default_rng(0).integers(0, 20, pixels.shape)).astype(np.uint8)
    for seed in range(5):
        region = draw_region(pixels, np.random.default_rng(seed), {"foreground": 1}, AREA)
        assert region.method == "foreground"
        assert (region.mask & thing).sum() > 0.9 * (region.mask | thing).sum()


def test_a_text_box_is_wider_than_high_and_filled() -> None:
    for seed in range(20):
        mask = draw_region(photo(0), np.random.default_rng(seed), {"text_box": 1}, AREA).mask
        box = bounding_box(mask)
        assert box is not None
        width, height = box[2] - box[0], box[3] - box[1]
        assert mask.sum() == width * height
        assert width > height


def test_objects_are_taken_where_they_fit() -> None:
    small, large = np.zeros((128, 160), bool), np.ones((128, 160), bool)
    small[10:40, 10:60] = True
    objects = [(large, "wall"), (small, "dog")]
    region = draw_region(photo(0), np.random.default_rng(0), {"object": 1}, AREA, objects)
    assert (region.method, region.object) == ("object", "dog")
    assert np.array_equal(region.mask, small)


def test_a_finder_is_asked() -> None:
    mask = np.zeros((128, 160), bool)
    mask[50:80, 50:80] = True

    def finder(pixels: Pixels, word: str | None = None) -> list[ObjectMask]:
        return [(mask, "cat")]

    rng = np.random.default_rng(0)
    region = draw_region(photo(0), rng, {"segmenter": 1}, AREA, finder=finder)
    assert (region.method, region.object) == ("segmenter", "cat")
