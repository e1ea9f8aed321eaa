"""Judging: in blocks, resumed, in shards, with everything that can be wrong with a picture."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sida.data
from sida.data.sample import Sample
from sida.errors import ConfigError
from sida.evaluation import Shard, prediction_run, read_predictions
from sida.evaluation.detector_predictor import DetectorPredictor
from sida.evaluation.prediction_run import map_levels, predict
from sida.evaluation.predictions import FailedPrediction, Prediction
from sida.verdict import Failure, ModelInfo, Verdict
from tests.small import labelled_folder, small_detector

SET = {"data": "set"}


class Killed(Exception):
    """What ends a run in a test."""


class Stopping:
    """A judge that is killed after so many pictures."""

    def __init__(self, predictor: DetectorPredictor, after: int) -> None:
        self.judge, self.left = predictor, after

    @property
    def model(self) -> ModelInfo:
        return self.judge.model

    def __call__(
        self, samples: Sequence[Sample], pictures: Sequence[Any]
    ) -> Iterator[Verdict | Failure]:
        for result in self.judge(samples, pictures):
            self.left -= 1
            if self.left < 0:
                raise Killed
            yield result


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = labelled_folder(tmp_path_factory.mktemp("set"), 4)
    (folder / "real/real1.png").write_bytes(b"broken")
    return folder


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_run, "BLOCK", 5)


@pytest.fixture(scope="module")
def predictor() -> DetectorPredictor:
    return DetectorPredictor(small_detector())


def content(file: Path) -> list[dict[str, Any]]:
    """Lines without what differs from run to run."""
    return [line.model_dump(exclude={"seconds"}) for line in read_predictions(file)]


def test_lines_follow_the_set(labelled: Path, predictor: DetectorPredictor, tmp_path: Path) -> None:
    data = sida.data.open(labelled)
    lines = list(read_predictions(predict(predictor, data, tmp_path / "out", SET)))
    assert [line.index for line in lines] == list(range(12))
    assert [line.truth.label for line in lines] == [sample.label for sample in data]
    (failed,) = (line for line in lines if isinstance(line, FailedPrediction))
    assert failed.image is not None
    assert failed.image.endswith("real1.png")
    assert failed.error == "unreadable_image"
    for line in lines[-4:]:
        assert isinstance(line, Prediction)
        mask, levels = line.truth_mask(), line.levels()
        assert mask is not None
        assert mask.sum() == 400
        assert levels is not None
        assert (line.folder / str(line.image)).is_file()


def test_the_verdict_does_not_depend_on_the_truth(
    labelled: Path, predictor: DetectorPredictor, tmp_path: Path
) -> None:
    lines = read_predictions(predict(predictor, sida.data.open(labelled), tmp_path / "out", SET))
    for line in lines:
        if isinstance(line, Prediction):
            verdict = predictor.detector.detect(line.folder / str(line.image))
            assert line.probabilities.tampered == pytest.approx(
                verdict.probabilities.tampered, abs=1e-5
            )
            assert (line.localization is None) == (verdict.localization is None)


@pytest.mark.parametrize("after", [0, 3, 7, 10])
def test_a_killed_run_goes_on_to_the_same_lines(
    labelled: Path, predictor: DetectorPredictor, tmp_path: Path, after: int
) -> None:
    data = sida.data.open(labelled)
    undisturbed = predict(predictor, data, tmp_path / "whole", {"data": "set", "a": 1})
    with pytest.raises(Killed):
        predict(Stopping(predictor, after), data, tmp_path / "cut", {"data": "set", "a": 1})
    assert not (tmp_path / "cut/predictions.jsonl").exists()
    with (tmp_path / "cut" / prediction_run.JOURNAL).open("a") as journal:
        journal.write('{"schema":"sida.verdict/1","im')  # killed while writing
    again = predict(predictor, data, tmp_path / "cut", {"data": "set", "a": 1})
    assert content(again) == content(undisturbed)
    assert sorted(p.relative_to(tmp_path / "cut") for p in (tmp_path / "cut").rglob("*")) == sorted(
        p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*")
    )


def test_a_block_that_was_written_in_part_is_judged_again(
    labelled: Path, predictor: DetectorPredictor, tmp_path: Path
) -> None:
    data = sida.data.open(labelled)
    undisturbed = predict(predictor, data, tmp_path / "whole", SET)
    lines = undisturbed.read_bytes().splitlines(keepends=True)
    cut = tmp_path / "cut"
    shutil.copytree(tmp_path / "whole", cut)
    (cut / "predictions.jsonl").unlink()
    (cut / prediction_run.JOURNAL).write_bytes(b"".join(lines[:7]))
    assert content(predict(predictor, data, cut, SET)) == content(undisturbed)


def test_shards_are_parts_of_the_whole(
    labelled: Path, predictor: DetectorPredictor, tmp_path: Path
) -> None:
    data = sida.data.open(labelled)
    undisturbed = content(predict(predictor, data, tmp_path / "whole", SET))
    parts = []
    for number in (1, 2):
        shard = Shard(number, 2)
        parts += content(predict(predictor, data, tmp_path / f"s{number}", SET, shard=shard))
    assert sorted(parts, key=lambda line: int(line["index"])) == undisturbed


def test_another_run_is_not_gone_on_with(
    labelled: Path, predictor: DetectorPredictor, tmp_path: Path
) -> None:
    data = sida.data.open(labelled)
    predict(predictor, data, tmp_path / "out", {"data": "set", "model": {"name": "a"}})
    with pytest.raises(ConfigError, match=r"another run: --model b \(was a\)"):
        predict(predictor, data, tmp_path / "out", {"data": "set", "model": {"name": "b"}})


def test_perturbed_pictures_have_perturbed_masks(
    labelled: Path, predictor: DetectorPredictor, tmp_path: Path
) -> None:
    seeds = []

    def half(pixels: np.ndarray, mask: np.ndarray | None, seed: int) -> tuple[Any, Any]:
        seeds.append(seed)
        return pixels[:24].copy(), None if mask is None else mask[:24].copy()

    lines = list(read_predictions(
        predict(predictor, sida.data.open(labelled), tmp_path / "out", SET, perturb=half)
    ))  # fmt: skip
    assert len(set(seeds)) == 11
    backwards = sida.data.open(labelled)[::-1]
    list(read_predictions(predict(predictor, backwards, tmp_path / "back", SET, perturb=half)))
    assert seeds[11:] == seeds[10::-1]
    assert isinstance(lines[1], FailedPrediction)
    last = lines[-1]
    assert isinstance(last, Prediction)
    assert (last.height, last.width) == (24, 56)
    mask = last.truth_mask()
    assert mask is not None
    assert mask.sum() == 14 * 20


@pytest.mark.parametrize("text", ["", "2", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2"])
def test_a_shard_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="expected I/N"):
        Shard.parse(text)


def test_levels_keep_the_border_at_a_half() -> None:
    just_above = np.nextafter(np.float32(0.5), np.float32(1))
    levels = map_levels(np.array([[0, 0.5, just_above, 1]], np.float32))
    assert levels.tolist() == [[0, 127, 128, 255]]
