"""Masks as people have them: the doctor, training and evaluation agree on what they mark."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sida.data
from sida.data.sample import Sample
from sida.errors import PictureError
from sida.evaluation.predictions import Prediction, Truth
from tests.data.sets import encoded, photo

MARKED = np.zeros((80, 96), bool)
MARKED[10:40, 24:48] = True
VOC = [0, 0, 0, 128, 0, 0]


def _palette() -> Image.Image:
    image = Image.fromarray(MARKED.astype(np.uint8)).convert("P")
    image.putpalette(VOC)
    return image


def _alpha() -> Image.Image:
    image = Image.new("RGB", (96, 80), "white")
    image.putalpha(Image.fromarray(MARKED))
    return image


MASKS = {
    "palette": _palette,
    "alpha": _alpha,
    "0 and 2": lambda: Image.fromarray(MARKED * np.uint8(2)),
    "0 and 100": lambda: Image.fromarray(MARKED * np.uint8(100)),
    "16 bits": lambda: Image.fromarray(MARKED * np.uint16(1)),
    "dark red": lambda: Image.fromarray(MARKED[..., None] * np.array([60, 0, 0], np.uint8)),
    "levels": lambda: Image.fromarray(MARKED * np.uint8(200) + np.tri(80, 96, dtype=np.uint8)),
}


def _set(folder: Path, mask: Image.Image) -> Path:
    for below, image in (("tampered", Image.fromarray(photo(0))), ("masks", mask)):
        (folder / below).mkdir(parents=True)
        image.save(folder / below / ("a_mask.png" if below == "masks" else "a.png"))
    return folder


@pytest.mark.parametrize("form", MASKS)
def test_every_reader_sees_what_is_marked(form: str, tmp_path: Path) -> None:
    from sida.train.loader import crop_sample

    folder = _set(tmp_path / "set", MASKS[form]())
    data = sida.data.open(folder)
    levels = data[0].read_mask()
    assert levels is not None
    assert np.array_equal(levels, MARKED * np.uint8(255))
    (traits,) = sida.data.stats(folder).traits
    assert traits.mask_area == pytest.approx(MARKED.mean())
    crop = crop_sample(data[0], 200, 0.0, np.random.default_rng(0))
    assert crop.mask is not None
    assert (crop.mask >= 128).sum() == MARKED.sum()
    stored = _prediction(folder, "masks/a_mask.png").truth_mask()
    assert stored is not None
    assert np.array_equal(stored, MARKED)


def _prediction(folder: Path, mask: str) -> Prediction:
    prediction = Prediction.model_validate(
        {
            "image": "tampered/a.png",
            "width": 96,
            "height": 80,
            "label": "tampered",
            "probabilities": {"real": 0.1, "full_synthetic": 0.1, "tampered": 0.8},
            "seconds": 1.0,
            "model": {"name": "made", "version": "1", "digest": "0" * 64},
            "truth": Truth(label="tampered", mask=mask).model_dump(),
        }
    )
    prediction._folder = folder
    return prediction


def test_a_truth_of_another_size_is_refused(tmp_path: Path) -> None:
    folder = _set(tmp_path / "set", Image.new("L", (10, 10), 1))
    with pytest.raises(PictureError, match="expected the picture's"):
        _prediction(folder, "masks/a_mask.png").truth_mask()


@pytest.mark.parametrize("form", ["palette", "0 and 2", "16 bits"])
def test_the_doctor_names_what_is_no_plain_mask(form: str, tmp_path: Path) -> None:
    findings = sida.data.stats(_set(tmp_path / "set", MASKS[form]()))
    assert findings.problem_counts == {"mask_levels": 1}


def test_the_doctor_gives_an_example_of_what_is_lost(tmp_path: Path) -> None:
    levels = MARKED * np.uint8(255)
    levels[60:70, :] = 76
    findings = sida.data.stats(_set(tmp_path / "set", Image.fromarray(levels)))
    assert findings.problem_counts == {"mask_cut": 1}
    assert "levels 0, 76, 255: 76 counts as unaltered (12.5%" in findings.problems[0].message


def test_an_empty_mask_is_empty_for_all(tmp_path: Path) -> None:
    folder = _set(tmp_path / "set", Image.fromarray(np.zeros((80, 96), np.uint8)))
    assert sida.data.stats(folder).problem_counts == {"empty_mask": 1}
    stored = _prediction(folder, "masks/a_mask.png").truth_mask()
    assert stored is not None
    assert not stored.any()


def test_an_export_writes_unusual_masks_plainly(tmp_path: Path) -> None:
    folder = _set(tmp_path / "set", _palette())
    sida.data.export(folder, tmp_path / "out")
    (file,) = (tmp_path / "out").rglob("a_mask.png")
    with Image.open(file) as image:
        assert np.array_equal(np.array(image.convert("L")), MARKED * np.uint8(255))
        assert image.mode in ("1", "L")


def test_differences_are_cut_where_their_set_says() -> None:
    """PIXAR's are no masks of two values, and no rule of ours applies."""
    levels = np.array([[0, 5, 40]], np.uint8)
    sample = Sample(encoded(photo(0, 3, 1), "PNG"), "tampered", encoded(levels, "PNG"), tau=0.1)
    mask = sample.read_mask()
    assert mask is not None
    assert mask.tolist() == [[0, 0, 255]]
    assert len(sample.report) == 0
