"""Scores as pure functions of arrays; each is what its name says."""

from collections.abc import Sequence

import numpy as np

from sida.verdict import LABELS

__all__ = ["auroc", "balanced_accuracy", "confusion", "f1", "iou", "recalls"]


def confusion(truth: Sequence[str], predicted: Sequence[str]) -> np.ndarray:
    """Counts (3, 3) int: rows are true, columns predicted labels, in the order of `LABELS`."""
    table = np.zeros((len(LABELS), len(LABELS)), np.int64)
    for row, column in zip(truth, predicted, strict=True):
        table[LABELS.index(row), LABELS.index(column)] += 1
    return table


def recalls(table: np.ndarray) -> dict[str, float]:
    """Share of each class that was found; classes without pictures are absent."""
    totals = table.sum(1)
    return {label: float(table[i, i] / totals[i]) for i, label in enumerate(LABELS) if totals[i]}


def balanced_accuracy(table: np.ndarray) -> float | None:
    """Mean recall over the classes that occur; None without any."""
    found = list(recalls(table).values())
    return sum(found) / len(found) if found else None


def auroc(positive: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the ROC curve, ties counted half (Mann-Whitney U); None with one class only.

    Args:
        positive: (n,) bool.
        scores: (n,), higher for positive.
    """
    hits, others = int(positive.sum()), int((~positive).sum())
    if not hits or not others:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * others))


def f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """F1 of two bool masks of one shape: 2 |A∩B| / (|A| + |B|); 1 where both are empty."""
    total = int(truth.sum()) + int(predicted.sum())
    return 2 * int((truth & predicted).sum()) / total if total else 1.0


def iou(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Intersection over union of two bool masks of one shape; 1 where both are empty."""
    union = int((truth | predicted).sum())
    return int((truth & predicted).sum()) / union if union else 1.0
