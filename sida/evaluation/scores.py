"""From `PredictionRows` to every figure of an evaluation, with its 95 % interval.

Each part works out all of its figures for given weights of the pictures, so that a bootstrap is
the same arithmetic a thousand times. Samples are drawn of groups, as pictures with a common
original are no independent evidence.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sida.evaluation.metrics import (
    Curve,
    Floats,
    Order,
    Score,
    accuracy,
    auroc,
    average_precision,
    balanced_accuracy,
    confusion,
    ece,
    equal_mass_bins,
    f1_scores,
    false_alarms,
    fpr_at_tpr,
    log_losses,
    macro_f1,
    mean,
    one_against_one,
    precisions,
    recalls,
    share,
    squared_errors,
    tpr_at_fpr,
)
from sida.evaluation.prediction_rows import NOT_REAL, PredictionRows
from sida.verdict import LABELS

__all__ = [
    "AGAINST_REAL",
    "RECALLS",
    "Detection",
    "Figure",
    "FigureName",
    "FigurePart",
    "Figures",
    "Origins",
    "Reliability",
    "figures",
    "reliability",
    "right",
]

SAMPLES = 1000
REAL = LABELS.index("real")
AGAINST_REAL = {
    "full_synthetic": "auroc_real_vs_synthetic",
    "tampered": "auroc_real_vs_tampered",
}
"""Classes that are set against real pictures alone, and the name of the area."""
RECALLS = {"recall_at_fpr_10": 0.10, "recall_at_fpr_5": 0.05}
"""Recalls of these classes, and the share of real pictures that may be mistaken for them."""

FigureName = tuple[str, ...]
"""The path of a figure in `metrics.json`: ("detection", "accuracy")."""
FigurePart = Callable[[Floats | None], Mapping[FigureName, Score]]


class Figure(NamedTuple):
    """A figure and the 2.5th and 97.5th percentile of its bootstrap samples."""

    value: float
    low: float
    high: float


Figures = dict[FigureName, Figure]


def figures(
    parts: Sequence[FigurePart],
    groups: NDArray[np.int64],
    samples: int = SAMPLES,
    on_progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Figures:
    """Every figure that can be computed; others are absent.

    Args:
        parts: from weights (n,), or None for one each, to figures.
        groups: (n,) a number for each original.
        samples: of the bootstrap.
        on_progress: called after every sample.
    """
    values = {name: v for part in parts for name, v in part(None).items() if v is not None}
    sampled: dict[FigureName, list[float]] = {name: [] for name in values}
    weights = _bootstrap(groups, samples)
    for number, sample in enumerate(_in_threads(partial(_all, parts), weights), 1):
        for name, value in sample.items():
            if value is not None and name in sampled:
                sampled[name].append(value)
        on_progress(number, samples)
    return {name: Figure(value, *_interval(sampled[name], value)) for name, value in values.items()}


def _all(parts: Sequence[FigurePart], weights: Floats) -> dict[FigureName, Score]:
    return {name: value for part in parts for name, value in part(weights).items()}


def _in_threads(
    work: Callable[[Floats], dict[FigureName, Score]], samples: Iterable[Floats]
) -> Iterator[dict[FigureName, Score]]:
    """Results in order. NumPy lets threads run side by side where there are many pictures."""
    count = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(count, thread_name_prefix="sida-bootstrap") as pool:
        coming = iter(samples)
        while batch := list(islice(coming, 2 * count)):
            yield from pool.map(work, batch)


def _bootstrap(groups: NDArray[np.int64], samples: int) -> Iterator[Floats]:
    """(n,) counts of each picture in a sample of as many groups as there are."""
    generator = np.random.default_rng(0)
    count = int(groups.max()) + 1 if len(groups) else 0
    for _ in range(samples if count else 0):
        times = np.bincount(generator.integers(0, count, count), minlength=count)
        yield times[groups].astype(np.float64)


def _interval(values: Sequence[float], value: float) -> tuple[float, float]:
    if not values:
        return value, value
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


class Detection:
    """Figures of the class, with reasons for those that are missing."""

    def __init__(self, rows: PredictionRows) -> None:
        self.truth, self.predicted = rows.truth, rows.predicted
        self.known = rows.truth != NOT_REAL
        self.two = rows.says == "real_or_not"
        self.three = bool(self.known.all()) and not self.two
        not_real = rows.truth != REAL
        self.reals = int((~not_real).sum())
        self.not_real = Order(not_real, 1 - rows.probabilities[:, REAL])
        self.order = {
            label: Order(rows.truth == number, rows.probabilities[:, number])
            for number, label in enumerate(LABELS)
        }
        self.against_real = {label: self._against_real(rows, label) for label in AGAINST_REAL}
        self.stated = ~rows.inconclusive
        self.real_or_synthetic = np.isin(rows.truth, (REAL, LABELS.index("full_synthetic")))
        self.confidence = rows.probabilities.max(1) if len(rows.truth) else np.zeros(0)
        self.right = right(rows)
        if self.three:
            self.squared = squared_errors(rows.truth, rows.probabilities)
            self.logs = log_losses(rows.truth, rows.probabilities)
        self.bins = equal_mass_bins(self.confidence)
        cells = 2 * not_real + (rows.predicted != REAL)
        self._binary = cells.astype(np.int64)

    def _against_real(self, rows: PredictionRows, label: str) -> "OneAgainstOne":
        among = np.isin(rows.truth, (REAL, LABELS.index(label)))
        # Of a verdict without classes all that is not real is the one alternative.
        if self.two:
            scores = 1 - rows.probabilities[:, REAL]
        else:
            scores = one_against_one(rows.probabilities, label)
        return OneAgainstOne(among, Order(rows.truth[among] != REAL, scores[among]))

    def table(self, weights: Floats | None = None) -> Floats:
        """Confusion (3, 3) of the pictures whose class is known."""
        weights_of_known = None if weights is None else weights[self.known]
        return confusion(self.truth[self.known], self.predicted[self.known], weights_of_known)

    def __call__(self, weights: Floats | None) -> dict[FigureName, Score]:
        table = self.table(weights)
        scores = self._real_vs_not(table, weights)
        if self.three:
            scores |= self._three(table, weights)
        else:
            scores |= dict.fromkeys(_THREE)
        scores |= self._stated_scores(weights)
        curves = self._curves_against_real(weights)
        scores |= {area: self._if_known(auroc(curves[c])) for c, area in AGAINST_REAL.items()}
        figures_by_name: dict[FigureName, Score] = {
            ("detection", name): v for name, v in scores.items()
        }
        per_class = self._per_class(table, weights)
        figures_by_name |= {
            ("per_class", *name): v if self.three else None for name, v in per_class.items()
        }
        for label, curve in curves.items():
            for name, fpr in RECALLS.items():
                recall = tpr_at_fpr(curve, fpr) if self.reals >= _fewest(fpr) else None
                figures_by_name["per_class", label, name] = self._if_known(recall)
        return figures_by_name

    def _if_known(self, score: Score) -> Score:
        """None where the class of some picture is not known."""
        return score if self.known.all() else None

    def _curves_against_real(self, weights: Floats | None) -> dict[str, Curve]:
        return {
            label: order.curve(None if weights is None else weights[among])
            for label, (among, order) in self.against_real.items()
        }

    def _three(self, table: Floats, weights: Floats | None) -> dict[str, Score]:
        return {
            "accuracy": accuracy(table),
            "balanced_accuracy": balanced_accuracy(table),
            "macro_f1": macro_f1(table),
            "ece": ece(self.confidence, self.right, self.bins, weights),
            "brier": mean(self.squared, weights),
            "nll": mean(self.logs, weights),
        }

    def _real_vs_not(self, table: Floats, weights: Floats | None) -> dict[str, Score]:
        two = np.bincount(self._binary, weights, minlength=4).reshape(2, 2)
        shares = [float(two[i, i] / two[i].sum()) for i in (0, 1) if two[i].sum()]
        total, curve = float(two.sum()), self.not_real.curve(weights)
        return {
            "auroc_real_vs_not": auroc(curve),
            "average_precision": average_precision(curve),
            "fpr_real": false_alarms(table),
            "fpr_real_stated": share(
                self.stated & (self.predicted != REAL), self.truth == REAL, weights
            ),
            "accuracy_real_vs_not": float(np.trace(two) / total) if total else None,
            "balanced_accuracy_real_vs_not": sum(shares) / 2 if len(shares) == 2 else None,
            "fpr_at_tpr_0.95": fpr_at_tpr(curve, 0.95),
            "tpr_at_fpr_0.05": tpr_at_fpr(curve, 0.05),
            "tpr_at_fpr_0.01": tpr_at_fpr(curve, 0.01),
        }

    def _stated_scores(self, weights: Floats | None) -> dict[str, Score]:
        """Shares of verdicts that are not inconclusive, and of these that are right."""
        every = np.ones(len(self.truth), bool)
        is_stated, two = self.stated, self.real_or_synthetic
        return {
            "stated_share": share(is_stated, every, weights),
            "stated_accuracy": share(self.right, is_stated, weights) if self.three else None,
            "stated_share_real_synthetic": self._if_known(share(is_stated, two, weights)),
            "stated_accuracy_real_synthetic": (
                share(self.right, is_stated & two, weights) if self.three else None
            ),
        }

    def _per_class(self, table: Floats, weights: Floats | None) -> dict[tuple[str, str], Score]:
        scores: dict[tuple[str, str], Score] = {}
        for name, values in (
            ("accuracy", recalls(table)),
            ("recall", recalls(table)),
            ("precision", precisions(table)),
            ("f1", f1_scores(table)),
        ):
            scores |= {(label, name): values.get(label) for label in LABELS}
        for label, order in self.order.items():
            curve = order.curve(weights)
            scores[label, "auroc"] = auroc(curve)
            scores[label, "average_precision"] = average_precision(curve)
        return scores

    def why_not(self, name: FigureName) -> str:
        """The reason why a figure is missing."""
        if not len(self.truth):
            return "no picture was judged"
        against_real = name[-1] in (*RECALLS, *AGAINST_REAL.values())
        needs_verdict = name[-1] in _THREE or (name[0] == "per_class" and not against_real)
        needs_truth = needs_verdict or against_real or name[-1] == "stated_share_real_synthetic"
        if self.two and needs_verdict:
            return "the verdicts say real or not real, and no class"
        if needs_truth and not self.known.all():
            count = int((~self.known).sum())
            return f"of {count} pictures only real or not real is known, not the class"
        if against_real:
            return self._why_not_against_real(name)
        if name[-1] == "stated_accuracy":
            return "every verdict is inconclusive"
        if name[-1] in ("stated_share_real_synthetic", "stated_accuracy_real_synthetic"):
            if not self.real_or_synthetic.any():
                return "no picture is real or full_synthetic"
            return "every verdict on a real or full_synthetic picture is inconclusive"
        if name[0] == "per_class":
            number = LABELS.index(name[1])
            if (self.truth == number).any() and name[-1] == "precision":
                return f"no picture was called {name[1]}"
            every = (self.truth == number).all()
            return f"{'every' if every else 'no'} picture is {name[1]}"
        return f"{'every' if (self.truth == REAL).all() else 'no'} picture is real"

    def _why_not_against_real(self, name: FigureName) -> str:
        areas = {area: label for label, area in AGAINST_REAL.items()}
        label = name[1] if name[0] == "per_class" else areas[name[-1]]
        if not self.reals:
            return "no picture is real"
        if not (self.truth == LABELS.index(label)).any():
            return f"no picture is {label}"
        fpr = RECALLS[name[-1]]
        return (
            f"only {self.reals} of the pictures are real, and a false positive rate of {fpr:.0%} "
            f"needs {_fewest(fpr)}"
        )


class OneAgainstOne(NamedTuple):
    """(n,) True for real pictures and those of one other class, and their order."""

    among: NDArray[np.bool_]
    order: Order


def _fewest(fpr: float) -> int:
    """The number of real pictures from which on one of them may be mistaken."""
    return round(1 / fpr)


_THREE = (
    *("accuracy", "balanced_accuracy", "macro_f1", "ece", "brier", "nll"),
    *("stated_accuracy", "stated_accuracy_real_synthetic"),
)
"""Figures that need the class to be known of every picture, and verdicts to say one."""


@dataclass(frozen=True)
class Reliability:
    """A bin of confidences: their mean, the share that was right, and how many there are."""

    confidence: float
    accuracy: float
    count: int


def reliability(detection: Detection) -> list[Reliability]:
    """The bins of the calibration error; none where that is missing."""
    if not detection.three:
        return []
    return [
        Reliability(
            float(detection.confidence[at].mean()), float(detection.right[at].mean()), int(at.sum())
        )
        for number in np.unique(detection.bins)
        if (at := detection.bins == number).any()
    ]


def right(rows: PredictionRows) -> NDArray[np.bool_]:
    """(n,) True for a right class; where truth or verdict knows no class, for right about real."""
    real: NDArray[np.bool_] = (rows.truth == REAL) == (rows.predicted == REAL)
    if rows.says == "real_or_not":
        return real
    return np.asarray(np.where(rows.truth == NOT_REAL, real, rows.truth == rows.predicted))


class Origins:
    """The shares of right and of stated verdicts by source or by generator, and their masks."""

    def __init__(
        self,
        section: str,
        origins: Sequence[str | None],
        rows: PredictionRows,
        per_mask: Mapping[str, tuple[NDArray[np.int64], Floats]],
    ) -> None:
        """`per_mask`: name -> indices among the pictures (k,), and a score of each (k,)."""
        self.section = section
        self.names = sorted({origin for origin in origins if origin is not None})
        numbers = {name: number for number, name in enumerate(self.names)}
        self.numbers = np.array(
            [numbers.get(origin or "", len(numbers)) for origin in origins], np.int64
        )
        self.right = right(rows).astype(np.float64)
        self.stated = (~rows.inconclusive).astype(np.float64)
        self.per_mask = per_mask

    def __call__(self, weights: Floats | None) -> dict[FigureName, Score]:
        times = np.ones(len(self.numbers)) if weights is None else weights
        scores = self._means("accuracy", self.numbers, self.right, times)
        scores |= self._means("stated_share", self.numbers, self.stated, times)
        scores |= self._means("stated_accuracy", self.numbers, self.right, times * self.stated)
        for name, (pictures, values) in self.per_mask.items():
            scores |= self._means(name, self.numbers[pictures], values, times[pictures])
        return scores

    def _means(
        self, name: str, numbers: NDArray[np.int64], values: Floats, weights: Floats
    ) -> dict[FigureName, Score]:
        size = len(self.names) + 1
        sums = np.bincount(numbers, weights * values, minlength=size)
        totals = np.bincount(numbers, weights, minlength=size)
        return {
            (self.section, origin, name): float(sums[i] / totals[i])
            for i, origin in enumerate(self.names)
            if totals[i]
        }
