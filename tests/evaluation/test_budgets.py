"""Budgets laid over predictions: counted by hand, and the promise of a calibration."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sida.errors import ConfigError
from sida.evaluation import Options, evaluate
from sida.evaluation.budgets import BudgetCurve, calibration_of, under_budget
from sida.evaluation.prediction_rows import PredictionRows, collect
from sida.model.budget import BudgetCalibration
from tests.evaluation.made import MODEL, prediction, random_predictions, write

SHARES = {
    "real": [(0.9, 0.05, 0.05), (0.45, 0.3, 0.25), (0.2, 0.1, 0.7), (0.05, 0.9, 0.05)],
    "full_synthetic": [(0.1, 0.8, 0.1), (0.4, 0.35, 0.25)],
    "tampered": [(0.02, 0.08, 0.9), (0.7, 0.1, 0.2)],
}


def calibration(*high: float, count: int = 20) -> BudgetCalibration:
    """Of `count` photographs, those with the highest scores."""
    scores = {"as_is": [0.0] * (count - len(high)) + [*high]}
    return BudgetCalibration.of("made", MODEL.digest, scores)


def rows_of(folder: Path) -> PredictionRows:
    lines = [(truth, shares) for truth, each in SHARES.items() for shares in each]
    return collect(
        [prediction(folder, truth, shares, i) for i, (truth, shares) in enumerate(lines)]
    )


def test_verdicts_are_counted_as_under_the_budget(tmp_path: Path) -> None:
    budget = calibration(0.54).budget(0.05)
    rows = under_budget(rows_of(tmp_path), budget)
    assert rows.predicted.tolist() == [0, 1, 2, 1, 1, 1, 2, 0]
    assert not rows.inconclusive.any()
    strict = under_budget(rows_of(tmp_path), calibration(0.85).budget(0.05))
    # Real is stated where it was without a budget; what is called otherwise has to exceed 0.85.
    assert strict.inconclusive.tolist() == [False, False, True, False, False, False, False, False]


def test_no_budget_states_what_the_model_was_not_made_for(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    rows = replace(rows, unsuitable=np.arange(len(rows.truth)) == 3)
    assert under_budget(rows, calibration(0.54).budget(0.05)).inconclusive.tolist()[3]
    curve = BudgetCurve(rows, calibration(0.54), 0.05)
    assert curve(None)["by_budget", "0.05", "fpr_real"] == 0.5


def test_the_curve_by_hand(tmp_path: Path) -> None:
    curve = BudgetCurve(rows_of(tmp_path), calibration(0.5, 0.85, 0.92), 0.05)
    assert list(curve.budgets) == ["0.05", "0.1", "0.2"]  # 20 photographs promise no less
    found = curve(None)
    expected = {
        "0.05": (0.25, 0.25, 0.0, 0.5),  # above 0.92
        "0.1": (0.25, 0.5, 0.5, 0.5),
        "0.2": (1.0, 1.0, 1.0, 1.0),
    }
    for budget, values in expected.items():
        names = ("fpr_real", "recall", "recall_full_synthetic", "recall_tampered")
        assert [found["by_budget", budget, name] for name in names] == [*values], budget
    assert curve.as_json()["thresholds"] == {"0.05": 0.92, "0.1": 0.85, "0.2": 0.0}


def test_an_evaluation_has_the_curve_with_intervals(tmp_path: Path) -> None:
    file = write(tmp_path, random_predictions(tmp_path, 60))
    options = Options(max_false_positives=0.1, calibration=calibration(0.6, 0.8))
    (result,) = evaluate([], tmp_path / "out", predictions=[file], options=options).values()
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["budget"]["max_false_positives"] == 0.1
    assert (metrics["budget"]["photographs"], metrics["budget"]["set"]) == (20, "made")
    found = metrics["by_budget"]["0.1"]["fpr_real"]
    assert found["low"] <= found["value"] <= found["high"]
    assert found["value"] == metrics["detection"]["fpr_real_stated"]["value"]
    assert result.get("by_budget", "0.1", "recall_tampered") is not None
    for name in ("metrics.md", "index.html"):
        assert "Budget of false accusations" in (tmp_path / "out" / name).read_text()
    # The predictions stay as they were made: another budget can be measured of them.
    lines = (tmp_path / "out/predictions.jsonl").read_text().splitlines()
    assert not any("budget" in json.loads(line) for line in lines)


def test_what_no_picture_shows_is_named(tmp_path: Path) -> None:
    lines = [prediction(tmp_path, "real", shares, i) for i, shares in enumerate(SHARES["real"])]
    options = Options(max_false_positives=0.1, calibration=calibration(0.6))
    evaluate([], tmp_path / "out", predictions=[write(tmp_path, lines)], options=options)
    missing = json.loads((tmp_path / "out/metrics.json").read_text())["not_measured"]
    assert missing["0.1.recall_tampered"] == "no picture is tampered"
    assert missing["0.1.recall"] == "no picture is other than real"


def test_a_budget_of_its_own_photographs_is_remarked(tmp_path: Path) -> None:
    file = write(tmp_path, random_predictions(tmp_path, 12), "made")
    options = Options(max_false_positives=0.1, calibration=calibration(0.6))
    (result,) = evaluate([], tmp_path / "out", predictions=[file], options=options).values()
    assert any("proves nothing" in note for note in result.rows.notes)


def test_calibrations_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path, random_predictions(tmp_path, 12))
    with pytest.raises(ConfigError, match=r"made has no calibration .* `sida calibrate"):
        calibration_of(MODEL, None)
    other = BudgetCalibration.of("x", "f" * 64, {"as_is": [0.1] * 20})
    for options, message in (
        (Options(max_false_positives=0.05, calibration=other), "of other weights"),
        (Options(max_false_positives=0.01, calibration=calibration()), "takes at least 99"),
    ):
        with pytest.raises(ConfigError, match=message):
            evaluate([], tmp_path / "out", predictions=[file], options=options)
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        Options(max_false_positives=1.0)
    assert not (tmp_path / "out").exists()
