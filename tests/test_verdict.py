"""The JSON contract `sida.verdict/1`, and the arrays beside it."""

import json
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from sida.errors import InputError
from sida.image.geometry import position_of
from sida.verdict import (
    LABELS,
    Budget,
    Explanation,
    Failure,
    Localization,
    ModelInfo,
    Probabilities,
    Region,
    Verdict,
    parse_line,
    regions_from_mask,
)

KEYS = [
    "schema",
    "image",
    "sha256",
    "width",
    "height",
    "format",
    "label",
    "probabilities",
    "calibrated",
    "inconclusive",
    "mask",
    "explanation",
    "evidence",
    "provenance",
    "model",
    "warnings",
    "seconds",
]


def make(**changes: Any) -> Verdict:
    fields: dict[str, Any] = {
        "image": "photo.jpg",
        "sha256": "ab" * 32,
        "width": 6,
        "height": 4,
        "format": "JPEG",
        "label": "tampered",
        "probabilities": Probabilities(real=0.02, full_synthetic=0.01, tampered=0.97),
        "localization": Localization(
            area=0.25,
            threshold=0.5,
            regions=(Region(box=(1, 1, 4, 3), area=0.25, score=0.9, position="middle centre"),),
        ),
        "model": ModelInfo(name="tiny", version="1", digest="d"),
        "seconds": 0.2,
    }
    return Verdict(**{**fields, **changes})


def test_json_has_exactly_the_keys_of_the_contract_in_its_order() -> None:
    line = json.loads(make(explanation=Explanation(text="t", complete=True)).model_dump_json())
    assert list(line) == KEYS
    assert line["schema"] == "sida.verdict/1"
    assert list(line["probabilities"]) == list(LABELS)
    assert list(line["mask"]) == ["area", "threshold", "file", "regions"]
    assert list(line["mask"]["regions"][0]) == ["box", "area", "score", "position"]
    assert list(line["explanation"]) == [
        *("text", "type", "areas", "content", "inconsistencies", "claims", "complete")
    ]
    assert list(line["explanation"]["inconsistencies"]) == [
        *("lighting", "edges", "resolution", "shadows")
    ]
    assert list(line["model"]) == ["name", "version", "digest"]


def test_the_documented_line_is_read_and_written_back_unchanged() -> None:
    line = {
        "schema": "sida.verdict/1",
        "image": "photo.jpg",
        "sha256": "00",
        "width": 1024,
        "height": 768,
        "format": "JPEG",
        "label": "tampered",
        "probabilities": {"real": 0.02, "full_synthetic": 0.01, "tampered": 0.97},
        "calibrated": True,
        "inconclusive": False,
        "mask": {
            "area": 0.083,
            "threshold": 0.5,
            "file": "masks/photo_mask.png",
            "regions": [
                {
                    "box": [412, 300, 590, 471],
                    "area": 0.071,
                    "score": 0.93,
                    "position": "lower right",
                }
            ],
        },
        "explanation": {
            "text": "…",
            "type": "…",
            "areas": "…",
            "content": "…",
            "inconsistencies": {"lighting": "…", "edges": "…", "resolution": "…", "shadows": "…"},
            "claims": [{"cue": "noise", "inside": 1.9, "outside": 3.4, "text": "…"}],
            "complete": True,
        },
        "evidence": {
            "windows": [
                {
                    "box": [0, 0, 224, 224],
                    "position": "upper left",
                    "probabilities": {"real": 0.25, "full_synthetic": 0.5, "tampered": 0.25},
                }
            ],
            "file": None,
        },
        "provenance": {
            "declared": [{"name": "n", "value": 1, "source": "EXIF", "state": "unverified"}],
            "measured": [
                {
                    "name": "quality",
                    "value": 90,
                    "unit": None,
                    "meaning": "m",
                    "limits": "l",
                    "source": "s",
                }
            ],
            "contradictions": ["c"],
        },
        "model": {"name": "tiny", "version": "1", "digest": "…"},
        "warnings": ["w"],
        "seconds": 0.21,
    }
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    verdict = parse_line(text)
    assert isinstance(verdict, Verdict)
    assert verdict.model_dump_json() == text


def test_a_failure_is_a_line_too() -> None:
    failure = Failure(image="x.jpg", error="unreadable_image", message="no picture")
    line = failure.model_dump_json()
    assert json.loads(line) == {
        "schema": "sida.failure/1",
        "image": "x.jpg",
        "error": "unreadable_image",
        "message": "no picture",
    }
    assert parse_line(line) == failure


@given(st.lists(st.floats(0.001, 1), min_size=3, max_size=3))
def test_any_verdict_survives_its_json(weights: list[float]) -> None:
    shares = [weight / sum(weights) for weight in weights]
    label = LABELS[int(np.argmax(shares))]
    verdict = make(
        label=label, probabilities=Probabilities(**dict(zip(LABELS, shares, strict=True)))
    )
    assert parse_line(verdict.model_dump_json()) == verdict


def test_probabilities_are_read_by_name() -> None:
    assert make().probabilities["tampered"] == 0.97
    assert [label for label, _ in make().probabilities.items()] == list(LABELS)
    with pytest.raises(KeyError, match="the labels are real"):
        make().probabilities["fake"]


@pytest.mark.parametrize(
    ("shares", "message"),
    [((0.5, 0.3, 0.1), "sum to 0.9"), ((1.2, -0.1, -0.1), "less than"), ((np.nan, 0, 1), "finite")],
)
def test_probabilities_are_checked(shares: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Probabilities(**dict(zip(LABELS, shares, strict=True)))


def test_the_label_is_the_largest_probability() -> None:
    with pytest.raises(ValidationError, match=r"expected the largest, 0\.97"):
        make(label="real")


BUDGET = Budget(max_false_positives=0.05, threshold=0.4, photographs=400, set="mine")


@pytest.mark.parametrize(
    ("probabilities", "unsure", "expected"),
    [
        ((0.9, 0.05, 0.05), False, ("real", False)),
        ((0.9, 0.05, 0.05), True, ("real", True)),
        ((0.6, 0.3, 0.1), False, ("real", False)),  # on the threshold, not above it
        ((0.7, 0.1, 0.2), False, ("real", False)),
        ((0.1, 0.5, 0.4), True, ("full_synthetic", False)),
        ((0.1, 0.4, 0.5), False, ("tampered", False)),
        ((0.45, 0.35, 0.2), False, ("full_synthetic", False)),  # real is the likeliest of three
    ],
)
def test_a_budget_decides(
    probabilities: tuple[float, ...], unsure: bool, expected: tuple[str, bool]
) -> None:
    assert BUDGET.decide(probabilities, unsure) == expected


def test_below_the_threshold_nothing_but_real_is_stated() -> None:
    strict = BUDGET.model_copy(update={"threshold": 0.9})
    assert strict.decide((0.2, 0.1, 0.7), False) == ("tampered", True)


def test_above_the_threshold_the_label_is_the_largest_but_real() -> None:
    shares = Probabilities(real=0.45, full_synthetic=0.35, tampered=0.2)
    verdict = make(label="full_synthetic", probabilities=shares, budget=BUDGET)
    line = json.loads(verdict.model_dump_json())
    assert line["budget"] == {
        "max_false_positives": 0.05,
        "threshold": 0.4,
        "photographs": 400,
        "set": "mine",
    }
    assert parse_line(verdict.model_dump_json()) == verdict
    for label in ("real", "tampered"):
        with pytest.raises(ValidationError, match=r"expected the largest but real, 0\.35"):
            make(label=label, probabilities=shares, budget=BUDGET)
    with pytest.raises(ValidationError, match=r"expected the largest, 0\.45"):
        make(label="full_synthetic", probabilities=shares)


@pytest.mark.parametrize("box", [(0, 0, 7, 4), (-1, 0, 2, 2), (3, 1, 3, 2), (0, 3, 2, 5)])
def test_boxes_lie_inside_the_picture(box: tuple[int, int, int, int]) -> None:
    region = Region(box=box, area=0.1, score=0.5, position="upper left")
    with pytest.raises(ValidationError, match="not inside the picture of width 6 and height 4"):
        make(localization=Localization(area=0.1, threshold=0.5, regions=(region,)))


def test_a_verdict_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make().label = "real"  # type: ignore[misc]


def test_arrays_belong_to_a_verdict_and_not_to_its_json() -> None:
    mask = np.zeros((4, 6), bool)
    mask[1:3, 1:4] = True
    verdict = make().with_arrays(mask=mask, probability_map=mask * np.float32(0.9))
    assert verdict.mask is not None
    assert verdict.probability_map is not None
    assert verdict.mask.dtype == bool
    assert verdict.probability_map.dtype == np.float32
    assert not verdict.mask.flags.writeable
    assert mask.flags.writeable
    assert verdict == make()
    assert verdict.model_dump_json() == make().model_dump_json()
    again = pickle.loads(pickle.dumps(verdict))
    np.testing.assert_array_equal(again.mask, mask)


def test_arrays_of_another_shape_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"mask is \(6, 4\), expected \(height, width\) = \(4, 6\)"
    ):
        make().with_arrays(mask=np.zeros((6, 4), bool))


def test_without_a_mask_there_are_no_arrays() -> None:
    verdict = make(localization=None)
    assert verdict.mask is None
    assert verdict.probability_map is None
    with pytest.raises(InputError, match='masks="all"'):
        verdict.save_mask("never.png")
    with pytest.raises(ValueError, match="no mask"):
        verdict.with_mask_file("never.png")


def test_a_mask_comes_back_from_its_file(elsewhere: Path) -> None:
    mask = np.zeros((4, 6), bool)
    mask[1:3, 1:4] = True
    verdict = make().with_arrays(mask=mask).with_mask_file("out/photo_mask.png")
    np.testing.assert_array_equal(verdict.mask, mask)
    (elsewhere / "there" / "out").mkdir(parents=True)
    verdict.save_mask("there/out/photo_mask.png")
    with Image.open("there/out/photo_mask.png") as written:
        assert written.mode == "L"
        np.testing.assert_array_equal(np.asarray(written), np.where(mask, 255, 0))
    back = parse_line(verdict.model_dump_json(), "there")
    assert isinstance(back, Verdict)
    np.testing.assert_array_equal(back.mask, mask)
    np.testing.assert_array_equal(back.probability_map, mask.astype(np.float32))


def test_an_overlay_is_the_picture_with_its_mask(elsewhere: Path) -> None:
    pixels = np.full((4, 6, 3), 100, np.uint8)
    mask = np.zeros((4, 6), bool)
    mask[1:3, 1:4] = True
    Image.fromarray(pixels).save("photo.png")
    for picture in (pixels, "photo.png", Path("photo.png").read_bytes()):
        make().with_arrays(mask=mask, picture=picture).save_overlay("overlay.png")
        with Image.open("overlay.png") as written:
            drawn = np.asarray(written)
        assert drawn.shape == (4, 6, 3)
        assert (drawn[1:3, 1:4] != 100).any()
        assert (drawn[0, 5] == 100).all()


def test_an_overlay_of_a_line_reads_the_picture_it_names(elsewhere: Path) -> None:
    Image.new("RGB", (6, 4)).save("photo.png")
    Image.new("L", (6, 4), 255).save("mask.png")
    back = parse_line(make(image="photo.png").with_mask_file("mask.png").model_dump_json())
    assert isinstance(back, Verdict)
    back.save_overlay("overlay.png")
    assert Path("overlay.png").exists()
    nameless = parse_line(make(image=None).with_mask_file("mask.png").model_dump_json())
    assert isinstance(nameless, Verdict)
    with pytest.raises(InputError, match="does not know its picture"):
        nameless.save_overlay("overlay.png")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "schema None"),
        ("[1]", "schema None"),
        ("[" * 100_000, "schema None"),
        ('{"schema": "sida.verdict/9"}', "sida.verdict/9"),
        ('{"schema": "sida.verdict/1", "width": 3}', "height: Field required"),
        ('{"schema": "sida.failure/1", "error": "odd", "message": ""}', "error: Input should be"),
    ],
)
def test_other_lines_are_one_sentence(line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_line(line)


def test_a_line_of_predictions_is_a_verdict_with_more() -> None:
    line = json.loads(make().model_dump_json()) | {"truth": {"label": "real"}}
    assert parse_line(json.dumps(line)) == make()


@pytest.mark.parametrize(
    ("box", "word"),
    [
        ((0, 0, 10, 10), "upper left"),
        ((40, 40, 60, 60), "middle centre"),
        ((0, 0, 100, 100), "middle centre"),
        ((90, 0, 100, 5), "upper right"),
        ((45, 90, 55, 100), "lower centre"),
        ((99, 99, 100, 100), "lower right"),
    ],
)
def test_positions_name_the_cell_of_a_grid(box: tuple[int, int, int, int], word: str) -> None:
    assert position_of(box, 100, 100) == word


def test_regions_are_sorted_scored_and_freed_of_specks() -> None:
    mask = np.zeros((100, 200), bool)
    mask[10:30, 10:30] = True
    mask[60:100, 150:200] = True
    mask[50, 50] = True
    probability = np.where(mask, np.float32(0.8), np.float32(0.1))
    probability[10:30, 10:30] = 0.6
    large, small = regions_from_mask(mask, probability)
    assert large.box == (150, 60, 200, 100)
    assert large.area == pytest.approx(0.1)
    assert large.score == pytest.approx(0.8)
    assert large.position == "lower right"
    assert small.box == (10, 10, 30, 30)
    assert small.score == pytest.approx(0.6)
    assert len(regions_from_mask(mask, probability, at_most=1)) == 1


def test_a_mask_of_one_speck_still_has_its_region() -> None:
    mask = np.zeros((500, 500), bool)
    mask[499, 0] = True
    (only,) = regions_from_mask(mask, mask.astype(np.float32))
    assert only.box == (0, 499, 1, 500)
    assert regions_from_mask(np.zeros((3, 3), bool), np.zeros((3, 3), np.float32)) == ()


def test_regions_of_a_large_noisy_mask_take_seconds() -> None:
    mask = np.random.default_rng(0).random((4000, 4000)) < 0.5
    start = time.perf_counter()
    regions = regions_from_mask(mask, mask.astype(np.float32))
    assert time.perf_counter() - start < 20
    assert regions[0].box == (0, 0, 4000, 4000)
