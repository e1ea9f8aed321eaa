"""Folds by group, and the scores of two models on held-out pictures, with intervals."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from sida.errors import DataError
from sida.evaluation.metrics import balanced_accuracy, confusion, recalls
from sida.model.calibration import Calibration
from sida.train.calibration_fit import fit_scaling
from sida.train.class_features import ClassFeatures
from sida.train.vectors import Vectors
from sida.verdict import LABELS

__all__ = ["HeadPredictions", "assign_folds", "compare"]

FOLDS = 5
RESAMPLES = 2000


class HeadPredictions(NamedTuple):
    """Predicted classes of pictures, beside the true ones.

    Attributes:
        truth, predicted: (pictures,) int64 class numbers.
        groups: (pictures,) int64, the same for pictures that have an original in common.
    """

    truth: np.ndarray
    predicted: np.ndarray
    groups: np.ndarray

    @classmethod
    def calibrated(
        cls, calibration: Calibration, logits: np.ndarray, pictures: Vectors | ClassFeatures
    ) -> "HeadPredictions":
        """Predictions by logits (pictures, 3) under a calibration."""
        predicted = calibration.probabilities(logits).argmax(1)
        return cls(pictures.labels, predicted, pictures.groups)

    @classmethod
    def cross_fitted(
        cls, logits: np.ndarray, vectors: Vectors, folds: np.ndarray
    ) -> "HeadPredictions":
        """Predictions by held-out logits, each fold calibrated on the others."""
        predicted = logits.argmax(1)
        for fold in range(folds.max() + 1):
            training = folds != fold
            if len(set(vectors.labels[training])) < len(LABELS):
                continue
            scale, bias = fit_scaling(logits[training], vectors.labels[training])
            predicted[~training] = (scale * logits[~training] + np.array(bias)).argmax(1)
        return cls(vectors.labels, predicted, vectors.groups)


def assign_folds(
    labels: np.ndarray, groups: np.ndarray, seed: int, classes: Iterable[str] = LABELS
) -> np.ndarray:
    """The fold of each picture: those of a group in one, classes shared out as evenly as can be.

    Five folds, or as many as the class with the fewest groups has of them.

    Args:
        classes: those that there have to be.

    Raises:
        DataError: a class has fewer than two groups, so that none can be held out.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    count = {label: len(set(groups[labels == LABELS.index(label)])) for label in classes}
    least = min(count, key=lambda label: count[label])
    if count[least] < 2:
        raise DataError(
            f"{count[least] or 'no'} original of {least} pictures can be used, and folds by "
            "original need at least two: add pictures of it (the same `group` in a manifest makes "
            "one original)."
        )
    splitter = StratifiedGroupKFold(min(FOLDS, count[least]), shuffle=True, random_state=seed)
    folds = np.zeros(len(labels), np.int64)
    for fold, (_, rows) in enumerate(splitter.split(labels, labels, groups)):
        folds[rows] = fold
    return folds


def compare(
    before: HeadPredictions, after: HeadPredictions, folds: np.ndarray | None = None
) -> dict[str, object]:
    """Balanced accuracies of two models on the same pictures, together and in each fold.

    Each `value` has the 2.5th and the 97.5th percentile of a bootstrap over groups (Efron, 1979) as
    `low` and `high`.
    """
    models = {"base": before, "adapter": after}
    report: dict[str, object] = {
        "balanced_accuracy": _intervals(before, after),
        "recalls": {name: _recalls(predictions) for name, predictions in models.items()},
    }
    if folds is not None:
        report["folds"] = [
            {
                "count": int((folds == fold).sum()),
                "groups": len(set(before.groups[folds == fold])),
                **{
                    name: _score(predictions, folds == fold) for name, predictions in models.items()
                },
            }
            for fold in range(folds.max() + 1)
        ]
    return report


def _intervals(before: HeadPredictions, after: HeadPredictions) -> dict[str, dict[str, float]]:
    groups = np.unique(before.groups, return_inverse=True)[1].reshape(-1)
    count = int(groups.max()) + 1
    rng = np.random.default_rng(0)
    resampled = np.zeros((RESAMPLES, 2))
    # Groups are drawn, not pictures, which one original makes alike; both models are scored on the
    # same draw, without which the interval of their difference would be far too wide.
    for row in resampled:
        weights = np.bincount(rng.integers(count, size=count), minlength=count)[groups]
        row[:] = [_score(predictions, weights) for predictions in (before, after)]
    values = np.array([_score(model, np.ones(len(groups))) for model in (before, after)])
    columns = {
        "base": (values[0], resampled[:, 0]),
        "adapter": (values[1], resampled[:, 1]),
        "difference": (values[1] - values[0], resampled[:, 1] - resampled[:, 0]),
    }
    return {
        name: {
            "value": round(float(value), 4),
            "low": round(float(np.quantile(column, 0.025)), 4),
            "high": round(float(np.quantile(column, 0.975)), 4),
        }
        for name, (value, column) in columns.items()
    }


def _score(predictions: HeadPredictions, weights: np.ndarray) -> float:
    """Balanced accuracy over the classes that occur, each picture counted with its weight."""
    table = confusion(predictions.truth, predictions.predicted, weights.astype(np.float64))
    return round(balanced_accuracy(table) or 0.0, 4)


def _recalls(predictions: HeadPredictions) -> dict[str, float]:
    values = recalls(confusion(predictions.truth, predictions.predicted))
    return {label: round(value, 4) for label, value in values.items()}
