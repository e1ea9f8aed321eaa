"""Scores as pure functions of arrays; each is what its name says.

Image level: `truth` (n,) and `predicted` (n,) are class numbers in the order of `LABELS`,
`probabilities` (n, 3) sum to 1. Every score takes `weights` (n,), how often each picture counts,
which is what a bootstrap varies. A score that cannot be had (a class is missing, no pictures) is
None and never NaN. What is reported are the rows of `METRICS` in `scores.py` and of `MASK_METRICS`
in `masks.py`: a new metric is a function here and a row there.

Pixel level: scores of one picture from two histograms, of altered and of untouched pixels over the
256 levels of an 8-bit probability map (`histograms`); nothing larger is kept of a picture.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sida.verdict import LABELS

__all__ = [
    "Curve",
    "Order",
    "accuracy",
    "auroc",
    "average_precision",
    "balanced_accuracy",
    "best_f1",
    "confusion",
    "ece",
    "equal_mass_bins",
    "f1",
    "f1_scores",
    "false_alarms",
    "fpr_at_tpr",
    "histograms",
    "intersection_and_union",
    "iou",
    "log_losses",
    "macro_f1",
    "mean",
    "one_against_one",
    "pixel_auc",
    "precisions",
    "ratio",
    "recalls",
    "share",
    "squared_errors",
    "tpr_at_fpr",
]

Floats = NDArray[np.float64]
Score = float | None


def _ones(weights: Floats | None, count: int) -> Floats:
    return np.ones(count) if weights is None else weights


def ratio(part: float, total: float) -> Score:
    """A share; None of nothing."""
    return float(part / total) if total > 0 else None


# ---- image level, from the most likely class


def confusion(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], weights: Floats | None = None
) -> Floats:
    """Counts (3, 3): rows are true, columns predicted classes."""
    cells = len(LABELS) * np.asarray(truth) + np.asarray(predicted)
    counts = np.bincount(cells, _ones(weights, len(cells)), minlength=len(LABELS) ** 2)
    return counts.astype(np.float64).reshape(len(LABELS), -1)


def accuracy(table: Floats) -> Score:
    """Share of pictures whose class was said."""
    return ratio(float(np.trace(table)), float(table.sum()))


def recalls(table: Floats) -> dict[str, float]:
    """Share of each class that was found; classes without pictures are absent."""
    totals = table.sum(1)
    return {label: float(table[i, i] / totals[i]) for i, label in enumerate(LABELS) if totals[i]}


def precisions(table: Floats) -> dict[str, float]:
    """Share of each said class that was right; classes that were never said are absent."""
    totals = table.sum(0)
    return {label: float(table[i, i] / totals[i]) for i, label in enumerate(LABELS) if totals[i]}


def f1_scores(table: Floats) -> dict[str, float]:
    """Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN).

    0 where a class that occurs is never said, or one that is said does not occur; a class
    that does neither is absent.
    """
    sizes = table.sum(0) + table.sum(1)
    return {label: float(2 * table[i, i] / sizes[i]) for i, label in enumerate(LABELS) if sizes[i]}


def balanced_accuracy(table: Floats) -> Score:
    """Mean recall over the classes that occur."""
    values = list(recalls(table).values())
    return sum(values) / len(values) if values else None


def macro_f1(table: Floats) -> Score:
    """Mean F1 over the classes that occur or are said, as scikit-learn takes it."""
    values = list(f1_scores(table).values())
    return sum(values) / len(values) if values else None


def false_alarms(table: Floats) -> Score:
    """Share of real pictures that are called anything else."""
    real = table[LABELS.index("real")]
    return ratio(float(real.sum() - real[LABELS.index("real")]), float(real.sum()))


# ---- image level, from the order of scores


class Order:
    """Pictures in the order of their scores, for one question with two answers.

    Sorting is done once, so that a thousand bootstrap samples cost a pass each.

    Args:
        positive: (n,) bool.
        scores: (n,), higher for positive.
    """

    def __init__(self, positive: NDArray[np.bool_], scores: Floats) -> None:
        scores = np.asarray(scores, np.float64)
        # Stable, so that ties keep their order on every machine.
        self.order = np.argsort(-scores, kind="stable")
        self.positive = np.asarray(positive, bool)[self.order]
        steps = np.flatnonzero(np.diff(scores[self.order]))
        self.ends = np.append(steps, len(scores) - 1) if len(scores) else steps

    def curve(self, weights: Floats | None = None) -> "Curve":
        """True and false positives at each distinct score, from the highest down."""
        ordered = _ones(weights, len(self.order))[self.order]
        everything = np.cumsum(ordered)[self.ends]
        hits = np.cumsum(ordered * self.positive)[self.ends]
        return Curve(hits, everything - hits)


class Curve(NamedTuple):
    """An order that was weighted already, for several scores of the same weights."""

    hits: Floats
    alarms: Floats


Ordered = Order | Curve


def _curve(order: Ordered, weights: Floats | None) -> Curve:
    return order if isinstance(order, Curve) else order.curve(weights)


def auroc(order: Ordered, weights: Floats | None = None) -> Score:
    """Area under the ROC curve by trapezoids, which counts ties half (Fawcett, 2006)."""
    hits, alarms = _curve(order, weights)
    if not len(hits) or not hits[-1] or not alarms[-1]:
        return None
    # Trapezoids at distinct scores only: ties are one step along the diagonal.
    steps = np.diff(alarms, prepend=0.0)
    heights = hits - np.diff(hits, prepend=0.0) / 2
    return float((steps * heights).sum() / (hits[-1] * alarms[-1]))


def average_precision(order: Ordered, weights: Floats | None = None) -> Score:
    """Precision summed over steps of recall, without interpolation, as scikit-learn defines it."""
    hits, alarms = _curve(order, weights)
    if not len(hits) or not hits[-1]:
        return None
    predicted_positive = hits + alarms
    precision = np.divide(
        hits, predicted_positive, out=np.zeros_like(hits), where=predicted_positive > 0
    )
    return float((np.diff(hits, prepend=0.0) * precision).sum() / hits[-1])


def fpr_at_tpr(order: Ordered, tpr: float, weights: Floats | None = None) -> Score:
    """Least false positive rate at which at least this share of positives is found."""
    hits, alarms = _curve(order, weights)
    if not len(hits) or not hits[-1] or not alarms[-1]:
        return None
    # The factor forgives the rounding of summed weights.
    enough = np.flatnonzero(hits >= tpr * hits[-1] * (1 - 1e-12))
    return float(alarms[enough[0]] / alarms[-1])


def tpr_at_fpr(order: Ordered, fpr: float, weights: Floats | None = None) -> Score:
    """Largest share of positives that is found at no more than this false positive rate.

    The threshold is the least score that at most this share of the negatives exceed, and only what
    exceeds it is found. Of equal scores all exceed it or none, so that ties can keep the rate below
    what is allowed, never above, and a positive that ties with the threshold is not found.
    """
    hits, alarms = _curve(order, weights)
    if not len(hits) or not hits[-1] or not alarms[-1]:
        return None
    few = np.flatnonzero(alarms <= fpr * alarms[-1] * (1 + 1e-12))
    return float(hits[few[-1]] / hits[-1]) if len(few) else 0.0


# ---- image level, from probabilities


def one_against_one(probabilities: Floats, label: str) -> Floats:
    """(n,) probability of a class where only it and real are left: p / (p_real + p).

    One half where both are 0, as nothing speaks for either then.
    """
    probability = probabilities[:, LABELS.index(label)]
    both = probabilities[:, LABELS.index("real")] + probability
    return np.asarray(np.divide(probability, both, out=np.full(len(both), 0.5), where=both > 0))


def equal_mass_bins(confidence: Floats, bins: int = 10) -> NDArray[np.int64]:
    """A bin for each of (n,) confidences, so that bins hold as equal numbers as can be.

    The same confidence is always in the same bin.
    """
    if not len(confidence):
        return np.zeros(0, np.int64)
    # Equal edges would make empty bins: `unique` joins them.
    inner = np.quantile(confidence, np.arange(1, bins) / bins)
    return np.searchsorted(np.unique(inner), confidence, side="right")


def ece(
    confidence: Floats,
    right: NDArray[np.bool_],
    bins: NDArray[np.int64],
    weights: Floats | None = None,
) -> Score:
    """Expected calibration error (Naeini et al., 2015): |confidence - accuracy|, mean over bins.

    Args:
        confidence: (n,) probability of the class that was said.
        right: (n,) whether it was.
        bins: (n,) from `equal_mass_bins`.
    """
    if not len(confidence):
        return None
    times = _ones(weights, len(confidence))
    gaps = np.bincount(bins, times * (confidence - right))
    return ratio(float(np.abs(gaps).sum()), float(times.sum()))


def mean(values: Floats, weights: Floats | None = None) -> Score:
    """Weighted mean of (n,) values."""
    times = _ones(weights, len(values))
    return ratio(float(times @ values), float(times.sum()))


def share(
    values: NDArray[np.bool_], among: NDArray[np.bool_], weights: Floats | None = None
) -> Score:
    """Share of the pictures `among` (n,) that `values` (n,) holds of."""
    return mean(values.astype(np.float64), _ones(weights, len(values)) * among)


def squared_errors(truth: NDArray[np.int64], probabilities: Floats) -> Floats:
    """(n,) squared distance of each picture to the truth, summed over the three classes: 0 to 2.

    Its mean is the Brier score (Brier, 1950).
    """
    targets = np.eye(len(LABELS))[truth]
    return np.asarray(np.square(probabilities - targets).sum(1))


def log_losses(truth: NDArray[np.int64], probabilities: Floats) -> Floats:
    """(n,) -log of each true class's probability, which is cut at float64's resolution."""
    likelihoods = np.asarray(probabilities)[np.arange(len(truth)), truth]
    return np.asarray(-np.log(likelihoods.clip(np.finfo(np.float64).eps, 1)))


# ---- pixel level


def histograms(truth: NDArray[np.bool_], levels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many altered (row 0) and untouched pixels (row 1) have each of 256 levels: (2, 256)."""
    levels, truth = np.asarray(levels).ravel(), np.asarray(truth, bool).ravel()
    total = np.bincount(levels, minlength=256)
    altered = np.bincount(levels[truth], minlength=256)
    return np.stack([altered, total - altered])


def intersection_and_union(counts: NDArray[np.int64], level: int) -> tuple[int, int]:
    """Pixels in both masks, and in either, where a map is marked from `level` on."""
    predicted = counts[:, level:].sum(1)
    return int(predicted[0]), int(counts[0].sum() + predicted[1])


def best_f1(counts: NDArray[np.int64]) -> float:
    """F1 at the level that is best for this picture: an upper bound, not what a user gets."""
    predicted = counts[:, ::-1].cumsum(1)
    sizes = predicted.sum(0) + counts[0].sum()
    scores = np.divide(2 * predicted[0], sizes, out=np.zeros(256), where=sizes > 0)
    return float(scores.max()) if counts[0].sum() else 1.0


def pixel_auc(counts: NDArray[np.int64]) -> Score:
    """Area under the ROC curve over the pixels of one picture; None with one kind of them only."""
    altered, untouched = counts.astype(np.float64)
    if not altered.sum() or not untouched.sum():
        return None
    # Mann-Whitney: pairs of pixels in order, ties counted half.
    below = np.cumsum(untouched) - untouched / 2
    return float((altered * below).sum() / (altered.sum() * untouched.sum()))


def f1(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """F1 of two masks of one shape: 2 |A∩B| / (|A| + |B|); 1 where both are empty."""
    total = int(truth.sum()) + int(predicted.sum())
    return 2 * int((truth & predicted).sum()) / total if total else 1.0


def iou(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks of one shape; 1 where both are empty."""
    union = int((truth | predicted).sum())
    return int((truth & predicted).sum()) / union if union else 1.0
