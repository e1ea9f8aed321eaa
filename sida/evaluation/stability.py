"""How often a verdict changes when its picture is delivered, by delivery and by class."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from sida.evaluation.metrics import Floats, Score, share
from sida.evaluation.predictions import FailedPrediction, Prediction, TruthLabel
from sida.evaluation.scores import FigureName
from sida.image.deliveries import DELIVERIES
from sida.verdict import LABELS, Stability

__all__ = ["ANY", "EVERY_CLASS", "UNSTABLE", "StabilityFigures"]

ANY, UNSTABLE = "any", "unstable"
"""Rows behind those of the deliveries: verdicts that change in any, and those that in half or more
do."""
EVERY_CLASS = "all"


class StabilityFigures:
    """Shares of changed verdicts, with reasons for those that are missing."""

    def __init__(self, predictions: Iterable[Prediction | FailedPrediction]) -> None:
        """Reads predictions once, in the order of the `PredictionRows` that they make."""
        labels: list[TruthLabel] = []
        changes: list[Mapping[str, bool]] = []
        for prediction in predictions:
            if isinstance(prediction, Prediction):
                labels.append(prediction.truth.label)
                changes.append(_changes(prediction.stability))
        truth = np.array(labels, object)
        self._among: dict[str, NDArray[np.bool_]] = {EVERY_CLASS: np.ones(len(truth), bool)}
        self._among |= {label: truth == label for label in LABELS}
        names = dict.fromkeys([*DELIVERIES, *(name for row in changes for name in row)])
        # Those that stand for all deliveries come last, whatever names a file brings.
        self.names = [*(name for name in names if name not in (ANY, UNSTABLE)), ANY, UNSTABLE]
        self._changed = {
            name: np.array([row.get(name, False) for row in changes], bool) for name in self.names
        }
        self._delivered = {
            name: np.array([name in row for row in changes], bool) for name in self.names
        }

    def __call__(self, weights: Floats | None) -> dict[FigureName, Score]:
        return {
            ("stability", label, name): share(
                self._changed[name], among & self._delivered[name], weights
            )
            for label, among in self._among.items()
            for name in self.names
        }

    def why_not(self, name: FigureName) -> str:
        """The reason why a figure is missing."""
        _, label, delivery = name
        if self._delivered[delivery].any():
            return f"no picture with this delivery is {label}"
        return "no verdict was made of deliveries: predict with --stability"


def _changes(stability: Stability | None) -> dict[str, bool]:
    """True for each delivery in which the verdict changes; nothing where none was judged."""
    if stability is None:
        return {}
    changes = {delivery.name: not delivery.held for delivery in stability.deliveries}
    return {**changes, ANY: any(changes.values()), UNSTABLE: not stability.stable}
