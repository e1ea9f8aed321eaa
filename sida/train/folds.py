"""Folds by group, and what two models say of held-out pictures, with intervals."""

from typing import Any, NamedTuple

import numpy as np

from sida.errors import DataError
from sida.evaluation.metrics import balanced_accuracy, confusion, recalls
from sida.model.calibration import Calibration
from sida.train.calibrate import fit_scaling
from sida.train.vectors import Vectors
from sida.verdict import LABELS

__all__ = ["Judged", "assign_folds", "compare"]

FOLDS = 5
RESAMPLES = 2000


class Judged(NamedTuple):
    """What a model says of pictures, beside the truth.

    Attributes:
        truth, predicted: (pictures,) int64 class numbers.
        groups: (pictures,) int64, the same for pictures that have an original in common.
    """

    truth: np.ndarray
    predicted: np.ndarray
    groups: np.ndarray

    @classmethod
    def by(cls, calibration: Calibration, logits: np.ndarray, vectors: Vectors) -> "Judged":
        """What a calibration makes of logits (pictures, 3)."""
        predicted = calibration.probabilities(logits).argmax(1)
        return cls(vectors.labels, predicted, vectors.groups)

    @classmethod
    def cross_fitted(cls, logits: np.ndarray, vectors: Vectors, folds: np.ndarray) -> "Judged":
        """Held-out logits, each fold under a calibration that was fitted to the others."""
        predicted = logits.argmax(1)
        for fold in range(folds.max() + 1):
            others = folds != fold
            if len(set(vectors.labels[others])) < len(LABELS):
                continue
            scale, bias = fit_scaling(logits[others], vectors.labels[others])
            predicted[~others] = (scale * logits[~others] + np.array(bias)).argmax(1)
        return cls(vectors.labels, predicted, vectors.groups)


def assign_folds(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """The fold of each picture: those of a group in one, classes shared out as evenly as can be.

    Five folds, or as many as the class with the fewest groups has of them.

    Raises:
        DataError: a class has fewer than two groups, so that none can be held out.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    count = {label: len(set(groups[labels == i])) for i, label in enumerate(LABELS)}
    least = min(count, key=lambda label: count[label])
    if count[least] < 2:
        raise DataError(
            f"{count[least] or 'no'} original of {least} pictures can be used, and folds by "
            "original need two at least: add pictures of it (the same `group` in a manifest makes "
            "one original)."
        )
    splitter = StratifiedGroupKFold(min(FOLDS, count[least]), shuffle=True, random_state=seed)
    folds = np.zeros(len(labels), np.int64)
    for fold, (_, held) in enumerate(splitter.split(labels, labels, groups)):
        folds[held] = fold
    return folds


def compare(before: Judged, after: Judged, folds: np.ndarray | None = None) -> dict[str, Any]:
    """Balanced accuracies of two models on the same pictures, together and in each fold.

    Each `value` has the 2.5th and the 97.5th percentile of a bootstrap over groups (Efron, 1979) as
    `low` and `high`.
    """
    models = {"base": before, "adapter": after}
    found: dict[str, Any] = {
        "balanced_accuracy": _intervals(before, after),
        "recalls": {name: _recalls(judged) for name, judged in models.items()},
    }
    if folds is not None:
        found["folds"] = [
            {
                "count": int((folds == fold).sum()),
                "groups": len(set(before.groups[folds == fold])),
                **{name: _score(judged, folds == fold) for name, judged in models.items()},
            }
            for fold in range(folds.max() + 1)
        ]
    return found


def _intervals(before: Judged, after: Judged) -> dict[str, dict[str, float]]:
    groups = np.unique(before.groups, return_inverse=True)[1].reshape(-1)
    count = int(groups.max()) + 1
    rng = np.random.default_rng(0)
    drawn = np.zeros((RESAMPLES, 2))
    for row in drawn:
        weights = np.bincount(rng.integers(count, size=count), minlength=count)[groups]
        row[:] = [_score(judged, weights) for judged in (before, after)]
    values = np.array([_score(judged, np.ones(len(groups))) for judged in (before, after)])
    columns = {
        "base": (values[0], drawn[:, 0]),
        "adapter": (values[1], drawn[:, 1]),
        "difference": (values[1] - values[0], drawn[:, 1] - drawn[:, 0]),
    }
    return {
        name: {
            "value": round(float(value), 4),
            "low": round(float(np.quantile(column, 0.025)), 4),
            "high": round(float(np.quantile(column, 0.975)), 4),
        }
        for name, (value, column) in columns.items()
    }


def _score(judged: Judged, weights: np.ndarray) -> float:
    """Balanced accuracy over the classes that occur; each picture counts as often as it says."""
    table = confusion(judged.truth, judged.predicted, weights.astype(np.float64))
    return round(balanced_accuracy(table) or 0.0, 4)


def _recalls(judged: Judged) -> dict[str, float]:
    found = recalls(confusion(judged.truth, judged.predicted))
    return {label: round(value, 4) for label, value in found.items()}
