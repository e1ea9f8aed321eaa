"""The file of a calibration of budgets, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sida.assets import EMBEDDED
from sida.errors import ConfigError, InputError
from sida.model.budget import BudgetCalibration, read_calibration
from sida.model.checkpoint import digest_of, stored_calibration

DIGEST = "a" * 64
LOW = [i / 100 for i in range(30)]
HIGH = [0.5 + i / 100 for i in range(30)]


def calibration(**scores: list[float]) -> BudgetCalibration:
    return BudgetCalibration.of("mine", DIGEST, scores or {"as_is": LOW, "jpeg_70": HIGH})


def test_the_threshold_is_the_highest_of_all_deliveries() -> None:
    budget = calibration().budget(0.1)
    # The 28th smallest of 30, of the delivery with the higher scores.
    assert budget.model_dump() == {
        "max_false_positives": 0.1,
        "threshold": 0.77,
        "photographs": 30,
        "set": "mine",
    }


def test_too_few_photographs_are_refused_and_it_says_how_many_would_do() -> None:
    with pytest.raises(ConfigError, match=r"30 real photographs .* 0\.01: it takes at least 99"):
        calibration().budget(0.01)
    with pytest.raises(ConfigError, match=r"ask for 0\.033 or more"):
        calibration().budget(0.01)
    assert calibration().budget(0.033).threshold == 0.79


def test_the_delivery_with_the_fewest_photographs_counts() -> None:
    few = calibration(as_is=LOW, half_size=HIGH[:10])
    assert few.budget(0.1).photographs == 10
    with pytest.raises(ConfigError, match="10 real photographs"):
        few.budget(0.05)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_scores_are_rounded_up_so_that_the_promise_holds(scores: list[float]) -> None:
    (kept,) = calibration(as_is=scores).scores.values()
    for score, stored in zip(sorted(scores), kept, strict=True):
        assert score <= stored <= score + 1.1e-6


def test_the_file_comes_back_as_it_was(tmp_path: Path) -> None:
    written = calibration()
    written.save(tmp_path / "budget.json")
    assert BudgetCalibration.load(tmp_path, DIGEST) == written
    assert json.loads((tmp_path / "budget.json").read_text())["schema"] == "sida.budget/1"
    assert BudgetCalibration.load(tmp_path, "b" * 64) is None
    assert BudgetCalibration.load(tmp_path / "elsewhere", DIGEST) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no JSON", "not a calibration of budgets"),
        ('{"scale": [1, 1, 1]}', "not a calibration of budgets"),
        ('{"schema": "sida.budget/1", "set": "x", "digest": "y", "scores": {}}', "at least 1"),
        (
            '{"schema": "sida.budget/1", "set": "x", "digest": "y", "scores": {"as_is": []}}',
            "at least 1",
        ),
        (
            '{"schema": "sida.budget/1", "set": "x", "digest": "y", "scores": {"as_is": [2, 1]}}',
            r"scores\.as_is\.0: .*less than or equal to 1",
        ),
        (
            '{"schema": "sida.budget/1", "set": "x", "digest": "y", "scores": {"a": [0.1, NaN]}}',
            r"scores\.a\.1: ",
        ),
        ('{"schema": "sida.budget/1", "set": "x", "digest": "y"}', "scores: Field required"),
        (
            '{"schema": "sida.budget/1", "set": "x", "digest": "y", "scores": {"a": [0.2, 0.1]}}',
            "not in order",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_calibration(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_calibration(tmp_path / "absent.json")
    (tmp_path / "picture").write_bytes(b"\xff\xd8")
    with pytest.raises(InputError, match="cannot be read: it is not text"):
        read_calibration(tmp_path / "picture")


def test_scores_of_another_model_are_refused() -> None:
    calibration().require(DIGEST)
    with pytest.raises(ConfigError, match="of other weights"):
        calibration().require("b" * 64)
    with pytest.raises(ConfigError, match="without --fast"):
        calibration().require(DIGEST, fast=True)


def test_a_models_own_is_found_by_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(EMBEDDED["tiny"], folder)
    assert stored_calibration(str(folder)) is None
    own = BudgetCalibration.of("mine", digest_of(folder), {"as_is": LOW})
    own.save(folder / "budget.json")
    assert stored_calibration(str(folder)) == own
    calibration().save(folder / "budget.json")  # of other weights
    assert stored_calibration(str(folder)) is None
