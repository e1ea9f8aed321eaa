"""Shares of changed verdicts, worked out by hand; and a whole evaluation that measures them."""

import json
from pathlib import Path

import numpy as np
import pytest

from sida.errors import ConfigError
from sida.evaluation import Options, evaluate
from sida.evaluation.budgets import BudgetCurve
from sida.evaluation.detector_predictor import DetectorPredictor
from sida.evaluation.prediction_rows import collect
from sida.evaluation.predictions import Prediction, read_predictions
from sida.evaluation.result import Result, measure
from sida.evaluation.stability import StabilityFigures
from sida.evaluation.tables import sheets
from sida.image.deliveries import DELIVERIES
from sida.model.budget import BudgetCalibration
from sida.options import DetectOptions
from sida.verdict import LABELS, DeliveryVerdict, Probabilities, Stability
from tests.deliveries import stability
from tests.evaluation.made import MODEL, prediction
from tests.small import labelled_folder, small_detector


def judged(folder: Path, truth: str, index: int, *changed: str, group: str = "") -> Prediction:
    """A picture called by its class, the verdict on which does not hold in some deliveries."""
    line = prediction(folder, truth, (0.6, 0.3, 0.1), index, group=group or f"g{index}")
    return line.model_copy(
        update={"stability": stability("real", **dict.fromkeys(changed, "tampered"))}
    )


def measured(lines: list[Prediction], samples: int = 0) -> Result:
    figures = StabilityFigures(lines)
    return measure(collect(lines), "end_to_end", "made", samples, stability=figures)


def share(result: Result, label: str, name: str) -> float:
    figure = result.get("stability", label, name)
    assert figure is not None
    return figure.value


def test_shares_by_delivery_and_by_class(tmp_path: Path) -> None:
    result = measured([
        judged(tmp_path, "real", 0),
        judged(tmp_path, "real", 1, "jpeg_50"),
        judged(tmp_path, "full_synthetic", 2, "jpeg_50", "jpeg_70", "half_size"),
        judged(tmp_path, "full_synthetic", 3),
    ])  # fmt: skip
    assert share(result, "all", "jpeg_50") == 0.5
    assert share(result, "all", "jpeg_70") == 0.25
    assert share(result, "all", "cropped") == 0
    assert share(result, "real", "jpeg_50") == 0.5
    assert share(result, "real", "half_size") == 0
    assert share(result, "full_synthetic", "half_size") == 0.5
    assert share(result, "all", "any") == 0.5
    assert share(result, "all", "unstable") == 0.25
    assert result.not_measured["stability", "tampered", "any"] == (
        "no picture with this delivery is tampered"
    )
    content = result.as_json()["stability"]
    assert list(content) == ["all", "real", "full_synthetic"]
    assert content["all"]["jpeg_50"] == {"value": 0.5, "low": 0.5, "high": 0.5}


def test_intervals_are_over_groups(tmp_path: Path) -> None:
    """Eight pictures of one original are no better evidence than one."""
    alike = [judged(tmp_path, "real", i, "jpeg_50", group="one") for i in range(8)]
    others = [judged(tmp_path, "real", i) for i in range(8, 16)]
    figure = measured([*alike, *others], samples=200).get("stability", "real", "jpeg_50")
    assert figure is not None
    assert figure.value == 0.5
    assert figure.low == 0
    assert figure.high > 0.7


def test_verdicts_without_deliveries_count_nowhere(tmp_path: Path) -> None:
    plain = prediction(tmp_path, "real", (0.6, 0.3, 0.1), 0)
    result = measured([plain, judged(tmp_path, "real", 1, "jpeg_50")])
    assert share(result, "real", "jpeg_50") == 1
    none = measured([plain])
    assert not [name for name in none.figures if name[0] == "stability"]
    assert none.not_measured["stability", "all", "jpeg_50"] == (
        "no verdict was made of deliveries: predict with --stability"
    )


def delivered(name: str, probabilities: tuple[float, float, float]) -> DeliveryVerdict:
    """A verdict without a budget that held."""
    return DeliveryVerdict(
        name=name,
        label="tampered",
        probabilities=Probabilities(**dict(zip(LABELS, probabilities, strict=True))),
        inconclusive=False,
        held=True,
    )


def test_a_budget_takes_back_what_does_not_hold_under_it(tmp_path: Path) -> None:
    """Two accusations above the threshold: of one the deliveries stay there, of one they fall."""
    high, low = (0.05, 0.05, 0.9), (0.4, 0.1, 0.5)
    lines = [
        prediction(tmp_path, "tampered", high, index).model_copy(
            update={"stability": Stability.among(delivered(n, each) for n in DELIVERIES)}
        )
        for index, each in enumerate((high, low))
    ]
    rows, figures = collect(lines), StabilityFigures(lines)
    assert not figures.unstable.any()
    scores = {"as_is": [0.0] * 19 + [0.8]}
    calibration = BudgetCalibration.of("made", MODEL.digest, scores)
    curve = BudgetCurve(rows, calibration, 0.05, figures)
    found = curve(None)
    assert found["by_budget", "0.05", "recall"] == 0.5
    assert found["by_budget", "0.1", "recall"] == 1  # threshold 0, which all exceed
    result = measure(rows, "end_to_end", "made", 0, stability=figures, budgets=curve)
    assert result.rows.inconclusive.tolist() == [False, True]
    assert share(result, "tampered", "unstable") == 0.5
    assert share(result, "tampered", "jpeg_50") == 0.5


def test_a_table_has_a_row_for_each_delivery(tmp_path: Path) -> None:
    result = measured([judged(tmp_path, "real", 0, "jpeg_50")])
    (sheet,) = [sheet for sheet in sheets(result) if sheet.title == "Stability"]
    assert sheet.headings == ("Changed by", "all", "real", "full synthetic", "tampered")
    assert [row[0] for row in sheet.rows] == [
        *("JPEG 85", "JPEG 70", "JPEG 50", "half size", "cropping", "a screenshot"),
        *("any of them", "half of them or more"),
    ]
    assert sheet.rows[2][1:] == ("1.000 [1.000, 1.000]", "1.000 [1.000, 1.000]", "—", "—")


def test_it_is_measured_of_a_set_and_again_of_its_predictions(tmp_path: Path) -> None:
    labelled = labelled_folder(tmp_path / "set", 2)
    detector = small_detector()
    predictor = DetectorPredictor(detector, DetectOptions(stability=True))
    options = Options(stability=True, leakage=False)
    evaluate([labelled], tmp_path / "out", predictor=lambda: predictor, options=options)
    content = json.loads((tmp_path / "out/metrics.json").read_text())
    lines = list(read_predictions(tmp_path / "out/predictions.jsonl"))
    held = [[d.held for d in line.stability.deliveries] for line in lines]  # type: ignore[union-attr]
    assert content["stability"]["all"]["any"]["value"] == pytest.approx(1 - np.all(held, 1).mean())
    assert "By delivery" in (tmp_path / "out/index.html").read_text()
    file = tmp_path / "out/predictions.jsonl"
    evaluate([], tmp_path / "again", predictions=[file], options=options)
    assert json.loads((tmp_path / "again/metrics.json").read_text()) == content
    with pytest.raises(ConfigError, match="--stability"):
        evaluate([labelled], tmp_path / "out", predictor=lambda: predictor)


def test_it_does_not_go_with_perturbations() -> None:
    with pytest.raises(ConfigError, match="one of them at a time"):
        Options(stability=True, perturbations=("jpeg_70",))
