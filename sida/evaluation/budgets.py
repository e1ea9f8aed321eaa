"""Budgets of false accusations on labelled pictures: what is asked for, found, and left.

Predictions are made without a budget, and it is laid over their numbers: any budget can be measured
from the same predictions.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from sida.assets import EMBEDDED
from sida.evaluation.metrics import Floats, Score, share
from sida.evaluation.prediction_rows import PredictionRows
from sida.evaluation.scores import FigureName
from sida.evaluation.stability import StabilityFigures
from sida.model.budget import BudgetCalibration, require_calibration
from sida.model.conformal import smallest_count
from sida.verdict import LABELS, Budget, ModelInfo

__all__ = ["FOUND", "BudgetCurve", "calibration_of", "under_budget"]

BUDGETS = (0.01, 0.02, 0.05, 0.10, 0.20)
"""Budgets of the curve, beside the one that is asked for."""
REAL = LABELS.index("real")
FOUND = {"fpr_real": "Real accused", "recall": "Found"} | {
    f"recall_{label}": f"Found, {label.replace('_', ' ')}" for label in LABELS if label != "real"
}
"""Figures of each budget, and their headings: shares that are called altered or generated."""


def calibration_of(model: ModelInfo, calibration: BudgetCalibration | None) -> BudgetCalibration:
    """The calibration for a model's predictions: that which was given, or an embedded model's own.

    Raises ConfigError where there is none, or that of other weights.
    """
    if calibration is None and model.name in EMBEDDED:
        calibration = BudgetCalibration.load(Path(EMBEDDED[model.name]), model.digest)
    calibration = require_calibration(calibration, model.name)
    calibration.require(model.digest, calibration.fast)
    return calibration


def under_budget(rows: PredictionRows, budget: Budget) -> PredictionRows:
    """The same pictures with the labels that they have under a budget, and what it leaves open."""
    decisions = [
        budget.decide(probabilities, unsure)
        for probabilities, unsure in zip(
            rows.probabilities.tolist(), rows.inconclusive.tolist(), strict=True
        )
    ]
    labels = [LABELS.index(label) for label, _ in decisions]
    inconclusive = np.array([unsure for _, unsure in decisions], bool)
    return replace(
        rows,
        predicted=np.array(labels, np.int64),
        inconclusive=inconclusive | rows.unsuitable,
    )


class BudgetCurve:
    """For each budget that the calibration can promise, what share of each class is accused."""

    def __init__(
        self,
        rows: PredictionRows,
        calibration: BudgetCalibration,
        max_false_positives: float,
        stability: StabilityFigures | None = None,
    ) -> None:
        """`rows` and `stability` are those without a budget.

        Raises ConfigError where it cannot be promised.
        """
        self.budget = calibration.budget(max_false_positives)
        shares = sorted({max_false_positives, *BUDGETS})
        self.budgets = {
            f"{value:g}": calibration.budget(value)
            for value in shares
            if smallest_count(value) <= calibration.photographs
        }
        scores = 1 - rows.probabilities[:, REAL]
        # A picture that the model was not made for is accused by no budget, and none by a verdict
        # that does not hold in its deliveries.
        self._accused = {
            name: (scores > budget.threshold) & ~rows.unsuitable
            for name, budget in self.budgets.items()
        }
        if stability is not None:
            for name, budget in self.budgets.items():
                self._accused[name] &= ~stability.under(under_budget(rows, budget), budget).unstable
        self._among = {"fpr_real": rows.truth == REAL, "recall": rows.truth != REAL} | {
            f"recall_{label}": rows.truth == number
            for number, label in enumerate(LABELS)
            if number != REAL
        }

    def __call__(self, weights: Floats | None) -> Mapping[FigureName, Score]:
        return {
            ("by_budget", budget, name): share(accused, among, weights)
            for budget, accused in self._accused.items()
            for name, among in self._among.items()
        }

    def why_not(self, name: FigureName) -> str:
        """The reason why a figure is missing."""
        label = {"fpr_real": "real", "recall": "other than real"}.get(name[-1])
        return f"no picture is {label or name[-1].removeprefix('recall_')}"

    def as_json(self) -> dict[str, object]:
        """The budget that verdicts were counted under, and the threshold of each in the curve."""
        thresholds = {name: budget.threshold for name, budget in self.budgets.items()}
        return {**self.budget.model_dump(), "thresholds": thresholds}
