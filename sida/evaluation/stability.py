"""How often a verdict changes when its picture is delivered, by delivery and by class."""

from collections.abc import Iterable
from copy import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sida.evaluation.metrics import Floats, Score, share
from sida.evaluation.prediction_rows import PredictionRows
from sida.evaluation.predictions import FailedPrediction, Prediction, TruthLabel
from sida.evaluation.scores import FigureName
from sida.image.deliveries import DELIVERIES
from sida.verdict import LABELS, Budget, Stability

__all__ = ["ANY", "EVERY_CLASS", "UNSTABLE", "StabilityFigures"]

ANY, UNSTABLE = "any", "unstable"
"""Rows behind those of the deliveries: verdicts that change in any, and those that in half or more
do."""
EVERY_CLASS = "all"


class _Numbers(NamedTuple):
    """What is kept of the verdict on a delivery: a set may have a million of them."""

    probabilities: tuple[float, ...]
    unsure: bool
    unsuitable: bool
    held: bool


class StabilityFigures:
    """Shares of changed verdicts, with reasons for those that are missing."""

    def __init__(self, predictions: Iterable[Prediction | FailedPrediction]) -> None:
        """Reads predictions once, in the order of the `PredictionRows` that they make."""
        labels: list[TruthLabel] = []
        rows: list[dict[str, _Numbers]] = []
        for prediction in predictions:
            if isinstance(prediction, Prediction):
                labels.append(prediction.truth.label)
                rows.append(_numbers(prediction.stability))
        truth = np.array(labels, object)
        self._among: dict[str, NDArray[np.bool_]] = {EVERY_CLASS: np.ones(len(truth), bool)}
        self._among |= {label: truth == label for label in LABELS}
        self._names = list(dict.fromkeys([*DELIVERIES, *(name for row in rows for name in row)]))
        shape = (len(rows), len(self._names))
        self._delivered = np.array([[name in row for name in self._names] for row in rows], bool)
        self._delivered = self._delivered.reshape(shape)
        self._probabilities = np.zeros((*shape, len(LABELS)))
        self._unsure, self._unsuitable, self._held = (np.zeros(shape, bool) for _ in range(3))
        for i, j in np.argwhere(self._delivered):
            numbers = rows[i][self._names[j]]
            self._probabilities[i, j] = numbers.probabilities
            self._unsure[i, j] = numbers.unsure
            self._unsuitable[i, j] = numbers.unsuitable
            self._held[i, j] = numbers.held

    def under(self, rows: PredictionRows, budget: Budget) -> "StabilityFigures":
        """The same of verdicts under a budget; `rows` are those that it makes of the pictures."""
        figures = copy(self)
        figures._held = np.zeros_like(self._held)
        for i, j in np.argwhere(self._delivered):
            unsure = bool(self._unsure[i, j])
            label, unsure = budget.decide(self._probabilities[i, j].tolist(), unsure)
            unsure = unsure or bool(self._unsuitable[i, j])
            same = unsure or LABELS.index(label) == rows.predicted[i]
            figures._held[i, j] = same and unsure == rows.inconclusive[i]
        return figures

    @property
    def unstable(self) -> NDArray[np.bool_]:
        """(n,) True for a verdict that does not hold in more than half of its deliveries."""
        held, count = self._held.sum(1), self._delivered.sum(1)
        return np.asarray((count > 0) & (2 * held <= count))

    def __call__(self, weights: Floats | None) -> dict[FigureName, Score]:
        changed = self._delivered & ~self._held
        judged = np.asarray(self._delivered.any(1))
        columns = {
            name: (changed[:, j], self._delivered[:, j]) for j, name in enumerate(self._names)
        }
        columns |= {ANY: (np.asarray(changed.any(1)), judged), UNSTABLE: (self.unstable, judged)}
        return {
            ("stability", label, name): share(values, among & delivered, weights)
            for label, among in self._among.items()
            for name, (values, delivered) in columns.items()
        }

    def why_not(self, name: FigureName) -> str:
        """The reason why a figure is missing."""
        if self._delivered.any():
            return f"no picture with this delivery is {name[1]}"
        return "no verdict was made of deliveries: predict with --stability"


def _numbers(stability: Stability | None) -> dict[str, _Numbers]:
    """The numbers of each delivery by name; none where none was judged."""
    return {
        delivery.name: _Numbers(
            tuple(value for _, value in delivery.probabilities.items()),
            delivery.inconclusive,
            delivery.unsuitable is not None,
            delivery.held,
        )
        for delivery in (stability.deliveries if stability is not None else ())
    }
