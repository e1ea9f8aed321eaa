"""Things found by tiny random detectors and cut out by a tiny random SAM; and the paper's way."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sida.errors import CheckpointError
from sida.forge.config import Segmenter, read_config
from sida.forge.job import Job
from sida.forge.language import Replacement
from sida.forge.photographs import find_photographs
from sida.forge.segmenter import SamFinder
from sida.forge.unit import make_unit
from sida.forge.workshop import Workshop

from . import tiny_models
from .conftest import Pixels, photo


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_models.sam(tmp_path_factory.mktemp("sam")))


def test_without_a_detector_points_are_asked_for(sam: str) -> None:
    objects = SamFinder(Segmenter(sam=sam), "cpu")(photo(0))
    assert len(objects) == 9
    for mask, word in objects:
        assert (mask.shape, mask.dtype, word) == ((128, 160), np.bool_, None)


def test_a_detector_names_what_it_finds(sam: str, tmp_path: Path) -> None:
    detector = str(tiny_models.detector(tmp_path))
    finder = SamFinder(Segmenter(sam=sam, detector=detector, threshold=0), "cpu")
    assert {word for _, word in finder(photo(0))} <= {"dog", "cat"}
    assert all(word == "dog" for _, word in finder(photo(0), "dog"))
    assert finder(photo(0), "zebra") == []
    strict = SamFinder(Segmenter(sam=sam, detector=detector, threshold=1), "cpu")
    assert strict(photo(0)) == []


def test_a_detector_that_takes_words_is_given_the_word(sam: str, tmp_path: Path) -> None:
    detector = str(tiny_models.word_detector(tmp_path))
    finder = SamFinder(Segmenter(sam=sam, detector=detector, threshold=0), "cpu")
    objects = finder(photo(0), "zebra")
    assert objects
    assert {word for _, word in objects} == {"zebra"}
    assert {mask.shape for mask, _ in objects} == {(128, 160)}


def test_what_is_no_segmenter_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot be loaded .*give folders or hub names"):
        SamFinder(Segmenter(sam=str(tmp_path)), "cpu")


def test_the_papers_way(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caption, object word, mask, replaced object, inpainting; models are stand-ins here."""
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({f"p{i}.jpg": "a dog on a sofa" for i in range(7)}))
    mask = np.zeros((128, 160), bool)
    mask[40:90, 50:100] = True
    calls: list[Any] = []

    def answer(language: object, caption: str, seed: int) -> Replacement:
        calls.append(caption)
        return Replacement("dog", "cat", "a cat on a sofa")

    def finder(pixels: Pixels, word: str | None = None) -> list[Any]:
        calls.append(word)
        return [(mask[: pixels.shape[0], : pixels.shape[1]], word)]

    class Painter:
        name = "painter"

        def __call__(self, pixels: Pixels, mask: Any, prompt: str, seed: int) -> Pixels:
            calls.append(prompt)
            return (255 - pixels).astype(np.uint8)

    monkeypatch.setattr("sida.forge.unit.choose_replacement", answer)
    config = read_config("paper", ["storage.sides=[120, 128]"])
    sources = find_photographs(photographs, captions=captions)
    workshop = Workshop(Job(config, sources, tmp_path / "out", tmp_path / "weights"))
    monkeypatch.setitem(workshop.__dict__, "finder", finder)
    monkeypatch.setitem(workshop.__dict__, "painters", [Painter()])
    (row,) = make_unit(workshop, 0, ["tampered"])
    assert calls == ["a dog on a sofa", "dog", "a cat on a sofa"]
    assert (row["object"], row["region"]) == ("dog", "object")
    assert json.loads(row["parameters"])["replacement"] == "cat"
    assert "cat in the place of dog painted by a diffusion model" in row["description"]
