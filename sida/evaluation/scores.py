"""From `PredictionRows` to every figure of an evaluation, with its 95 % interval.

Each part works out all of its figures for given weights of the pictures, so that a bootstrap is
the same arithmetic a thousand times. Samples are drawn of groups, as pictures with a common
original are no independent evidence.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import Literal, NamedTuple

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
    "HEADINGS",
    "METRICS",
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
Needs = Literal["pictures", "truth", "classes"]
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
    on_progress: Callable[[int, int | None], None] = lambda finished, total: None,
) -> Figures:
    """Every figure that can be computed; others are absent.

    Args:
        parts: from weights (n,), or None for one each, to figures.
        groups: (n,) a number for each original.
        samples: of the bootstrap.
        on_progress: called after every sample.
    """
    values = {name: v for part in parts for name, v in part(None).items() if v is not None}
    # Figures of a sample that lacks a class are left out of the interval, not counted as 0.
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
    # In batches, so that weights of a thousand samples are never in memory at once.
    with ThreadPoolExecutor(count, thread_name_prefix="sida-bootstrap") as pool:
        coming = iter(samples)
        while batch := list(islice(coming, 2 * count)):
            yield from pool.map(work, batch)


def _bootstrap(groups: NDArray[np.int64], samples: int) -> Iterator[Floats]:
    """(n,) counts of each picture in a sample of as many groups as there are."""
    # Always the same samples: the same predictions give the same intervals.
    generator = np.random.default_rng(0)
    count = int(groups.max()) + 1 if len(groups) else 0
    for _ in range(samples if count else 0):
        # Drawn by group: pictures with a common original are no independent evidence.
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
        self.has_class = rows.truth != NOT_REAL
        self.two = rows.says == "real_or_not"
        self.three = bool(self.has_class.all()) and not self.two
        not_real = rows.truth != REAL
        self.reals = int((~not_real).sum())
        self.not_real = Order(not_real, 1 - rows.probabilities[:, REAL])
        self.order = {
            # Sorted once; a bootstrap sample only changes the weights.
            label: Order(rows.truth == number, rows.probabilities[:, number])
            for number, label in enumerate(LABELS)
        }
        self.against_real = {label: self._against_real(rows, label) for label in AGAINST_REAL}
        self.is_stated = ~rows.inconclusive
        self.real_or_synthetic = np.isin(rows.truth, (REAL, LABELS.index("full_synthetic")))
        self.confidence = rows.probabilities.max(1) if len(rows.truth) else np.zeros(0)
        self.right = right(rows)
        if self.three:
            self.squared = squared_errors(rows.truth, rows.probabilities)
            self.logs = log_losses(rows.truth, rows.probabilities)
        # Bins are of the whole set: a sample must not move its own yardstick.
        self.bins = equal_mass_bins(self.confidence)
        self.every = np.ones(len(rows.truth), bool)
        cells = 2 * not_real + (rows.predicted != REAL)
        self.binary_cells = cells.astype(np.int64)

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
        weights_of_classes = None if weights is None else weights[self.has_class]
        return confusion(
            self.truth[self.has_class], self.predicted[self.has_class], weights_of_classes
        )

    def __call__(self, weights: Floats | None) -> dict[FigureName, Score]:
        sample = _Sample(self, weights)
        scores: dict[FigureName, Score] = {
            ("detection", metric.name): metric.compute(sample) if self.has(metric.needs) else None
            for metric in METRICS
        }
        per_class = self._per_class(sample.table, weights)
        scores |= {("per_class", *name): v if self.three else None for name, v in per_class.items()}
        for label, curve in sample.against_real.items():
            for name, fpr in RECALLS.items():
                # Below that, not one real picture may be mistaken: the recall would be chance.
                enough = self.reals >= _fewest(fpr) and self.has("truth")
                scores["per_class", label, name] = tpr_at_fpr(curve, fpr) if enough else None
        return scores

    def has(self, needs: Needs) -> bool:
        """True where these predictions have all that a metric needs."""
        if needs == "classes":
            return self.three
        return needs == "pictures" or bool(self.has_class.all())

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
        if name[0] == "per_class":
            needs: Needs = "truth" if against_real else "classes"
        else:
            needs = next(metric.needs for metric in METRICS if metric.name == name[-1])
        if self.two and needs == "classes":
            return "the verdicts say real or not real, and no class"
        if not self.has(needs):
            count = int((~self.has_class).sum())
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


class _Sample:
    """Predictions with the weights of a bootstrap sample, and what several metrics share."""

    def __init__(self, detection: Detection, weights: Floats | None) -> None:
        self.all, self.weights = detection, weights

    @cached_property
    def table(self) -> Floats:
        """Confusion (3, 3)."""
        return self.all.table(self.weights)

    @cached_property
    def curve(self) -> Curve:
        """Real against not real, by the probability of real."""
        return self.all.not_real.curve(self.weights)

    @cached_property
    def against_real(self) -> dict[str, Curve]:
        """A class against real pictures alone."""
        return {
            label: order.curve(None if self.weights is None else self.weights[among])
            for label, (among, order) in self.all.against_real.items()
        }

    @cached_property
    def binary(self) -> Floats:
        """Counts (2, 2): rows are truly real or not, columns called real or not."""
        cells = np.bincount(self.all.binary_cells, self.weights, minlength=4)
        return cells.astype(np.float64).reshape(2, 2)

    def share(self, values: NDArray[np.bool_], among: NDArray[np.bool_]) -> Score:
        return share(values, among, self.weights)

    def balanced_binary_accuracy(self) -> Score:
        shares = [self.binary[i, i] / self.binary[i].sum() for i in (0, 1) if self.binary[i].sum()]
        return float(sum(shares) / 2) if len(shares) == 2 else None


@dataclass(frozen=True)
class Metric:
    """A figure of `detection`.

    Attributes:
        name: in `metrics.json`.
        heading: in tables.
        higher_is_better: the direction; None of a share that is neither.
        compute: its value for a sample.
        needs: `classes`, that truth and verdicts name a class; `truth`, that truth does.
    """

    name: str
    heading: str
    higher_is_better: bool | None
    compute: Callable[[_Sample], Score]
    needs: Needs = "pictures"


METRICS = (
    Metric("auroc_real_vs_not", "AUROC", True, lambda s: auroc(s.curve)),
    Metric("average_precision", "Average precision", True, lambda s: average_precision(s.curve)),
    Metric("fpr_real", "FPR", False, lambda s: false_alarms(s.table)),
    Metric(
        "fpr_real_stated",
        "Real mistaken",
        False,
        lambda s: s.share(s.all.is_stated & (s.all.predicted != REAL), s.all.truth == REAL),
    ),
    Metric("accuracy_real_vs_not", "Real or not", True, lambda s: accuracy(s.binary)),
    Metric(
        "balanced_accuracy_real_vs_not",
        "Real or not, balanced",
        True,
        lambda s: s.balanced_binary_accuracy(),
    ),
    Metric("fpr_at_tpr_0.95", "FPR at TPR 95%", False, lambda s: fpr_at_tpr(s.curve, 0.95)),
    Metric("tpr_at_fpr_0.05", "TPR at FPR 5%", True, lambda s: tpr_at_fpr(s.curve, 0.05)),
    Metric("tpr_at_fpr_0.01", "TPR at FPR 1%", True, lambda s: tpr_at_fpr(s.curve, 0.01)),
    Metric("accuracy", "Accuracy", True, lambda s: accuracy(s.table), "classes"),
    Metric(
        "balanced_accuracy",
        "Balanced accuracy",
        True,
        lambda s: balanced_accuracy(s.table),
        "classes",
    ),
    Metric("macro_f1", "Macro F1", True, lambda s: macro_f1(s.table), "classes"),
    Metric(
        "ece",
        "Calibration error",
        False,
        lambda s: ece(s.all.confidence, s.all.right, s.all.bins, s.weights),
        "classes",
    ),
    Metric("brier", "Brier score", False, lambda s: mean(s.all.squared, s.weights), "classes"),
    Metric("nll", "Log loss", False, lambda s: mean(s.all.logs, s.weights), "classes"),
    Metric("stated_share", "Stated", None, lambda s: s.share(s.all.is_stated, s.all.every)),
    Metric(
        "stated_accuracy",
        "Right where stated",
        True,
        lambda s: s.share(s.all.right, s.all.is_stated),
        "classes",
    ),
    Metric(
        "stated_share_real_synthetic",
        "Stated, real and synthetic",
        None,
        lambda s: s.share(s.all.is_stated, s.all.real_or_synthetic),
        "truth",
    ),
    Metric(
        "stated_accuracy_real_synthetic",
        "Right where stated, real and synthetic",
        True,
        lambda s: s.share(s.all.right, s.all.is_stated & s.all.real_or_synthetic),
        "classes",
    ),
    Metric(
        AGAINST_REAL["full_synthetic"],
        "AUROC, synthetic",
        True,
        lambda s: auroc(s.against_real["full_synthetic"]),
        "truth",
    ),
    Metric(
        AGAINST_REAL["tampered"],
        "AUROC, tampered",
        True,
        lambda s: auroc(s.against_real["tampered"]),
        "truth",
    ),
)
"""Every figure of `detection`, in the order of the JSON: the place to add one."""
HEADINGS = {metric.name: metric.heading for metric in METRICS}


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
        self.is_stated = (~rows.inconclusive).astype(np.float64)
        self.per_mask = per_mask

    def __call__(self, weights: Floats | None) -> dict[FigureName, Score]:
        times = np.ones(len(self.numbers)) if weights is None else weights
        scores = self._means("accuracy", self.numbers, self.right, times)
        scores |= self._means("stated_share", self.numbers, self.is_stated, times)
        scores |= self._means("stated_accuracy", self.numbers, self.right, times * self.is_stated)
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
