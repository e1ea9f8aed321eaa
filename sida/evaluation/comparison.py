"""Whether one judge is better than another on the same pictures, or only luckier."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sida.errors import MissingExtra, optional_package
from sida.evaluation.collect import NOT_REAL, Rows
from sida.evaluation.metrics import Floats, Order, Score, auroc, mean
from sida.evaluation.scores import REAL, SAMPLES, Figures, Names, figures, right

__all__ = ["Compared", "McNemar", "compare", "mcnemar"]


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of verdicts: pictures that one judge alone had right, and p."""

    ours: int
    theirs: int
    p: float


@dataclass(frozen=True)
class Compared:
    """Two judges on the pictures that both have judged.

    Attributes:
        count: of these pictures.
        difference: ours minus theirs, with the interval of the same bootstrap samples.
        test: of the class, where both say it, else of real or not real; None where not measured.
        of_classes: whether it is of the class.
        why_not: why there is no test, or no picture to compare.
    """

    count: int
    difference: Figures
    test: McNemar | None
    of_classes: bool
    why_not: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For `metrics.json`."""
        found: dict[str, Any] = {
            "count": self.count,
            "difference": {name[-1]: value._asdict() for name, value in self.difference.items()},
        }
        if self.test is not None:
            found["mcnemar"] = {
                "of": "class" if self.of_classes else "real_or_not",
                "only_model_right": self.test.ours,
                "only_baseline_right": self.test.theirs,
                "p": self.test.p,
            }
        return found if self.why_not is None else {**found, "not_measured": self.why_not}


def compare(
    ours: Rows,
    theirs: Rows,
    samples: int = SAMPLES,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Compared:
    """Both on their common pictures, told by their places in the set.

    Intervals are of groups, drawn as for all figures. McNemar's test takes pictures for
    independent, so that its p is too small where several have an original in common.
    """
    _, mine, its = np.intersect1d(ours.places, theirs.places, return_indices=True)
    known = ours.places[mine] >= 0
    one, other = _chosen(ours, mine[known]), _chosen(theirs, its[known])
    if not len(one.truth):
        return Compared(0, {}, None, False, "no picture was judged by both")
    if "real_or_not" in (one.says, other.says):
        one, other = (replace(each, says="real_or_not") for each in (one, other))
    part = _Difference(one, other)
    try:
        test, why_not = mcnemar(right(one), right(other)), None
    except MissingExtra as error:
        test, why_not = None, str(error).rstrip(".")
    difference = figures([part], one.groups, samples, progress)
    return Compared(len(one.truth), difference, test, one.says != "real_or_not", why_not)


def mcnemar(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> McNemar:
    """McNemar's exact test, two-sided, of (n,) right verdicts on the same pictures.

    Q. McNemar, "Note on the sampling error of the difference between correlated proportions"
    (1947), with the binomial distribution in place of its limit. p is 1 where no verdict differs.
    Raises MissingExtra.
    """
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    if not only_ours + only_theirs:
        return McNemar(0, 0, 1.0)
    with optional_package("scipy", "data", "McNemar's test"):
        from scipy.stats import binomtest
    p = float(binomtest(only_ours, only_ours + only_theirs, 0.5).pvalue)
    return McNemar(only_ours, only_theirs, p)


class _Scores:
    """The figures of `detection` that are compared, alone: all of them would take long."""

    def __init__(self, rows: Rows) -> None:
        not_real = rows.truth != REAL
        self.order = Order(not_real, 1 - rows.probabilities[:, REAL])
        two = not_real == (rows.predicted != REAL)
        self.rights = {"accuracy_real_vs_not": two.astype(np.float64)}
        if rows.says != "real_or_not" and (rows.truth != NOT_REAL).all():
            self.rights["accuracy"] = right(rows).astype(np.float64)

    def __call__(self, weights: Floats | None) -> dict[str, Score]:
        found: dict[str, Score] = {n: mean(each, weights) for n, each in self.rights.items()}
        return found | {"auroc_real_vs_not": auroc(self.order.curve(weights))}


class _Difference:
    def __init__(self, ours: Rows, theirs: Rows) -> None:
        self.ours, self.theirs = _Scores(ours), _Scores(theirs)

    def __call__(self, weights: Floats | None) -> dict[Names, Score]:
        other = self.theirs(weights)
        return {
            ("difference", name): score - less
            for name, score in self.ours(weights).items()
            if score is not None and (less := other[name]) is not None
        }


def _chosen(rows: Rows, at: NDArray[np.int64]) -> Rows:
    """Some pictures, with what figures of their classes need, and no masks."""
    none = np.zeros(0, np.int64)
    cut = {
        each.name: getattr(rows, each.name)[at]
        for each in fields(rows)
        if each.name in ("truth", "predicted", "probabilities", "marked", "pixels", "places")
    }
    groups = np.unique(rows.groups[at], return_inverse=True)[1].astype(np.int64)
    return replace(rows, **cut, groups=groups, masked=none, counts=rows.counts[:0], mapped=none > 0)
