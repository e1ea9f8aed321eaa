"""Two models on the same pictures: the difference, and whether chance explains it."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from sida.errors import MissingExtra, optional_package
from sida.evaluation.metrics import Floats, Order, Score, auroc, mean
from sida.evaluation.prediction_rows import NOT_REAL, PredictionRows
from sida.evaluation.scores import REAL, SAMPLES, FigureName, Figures, figures, right

__all__ = ["McNemar", "ModelComparison", "compare", "mcnemar"]


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of verdicts: pictures that one judge alone had right, and p."""

    ours: int
    theirs: int
    p: float


@dataclass(frozen=True)
class ModelComparison:
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

    def as_json(self) -> dict[str, object]:
        """For `metrics.json`."""
        values: dict[str, object] = {
            "count": self.count,
            "difference": {name[-1]: value._asdict() for name, value in self.difference.items()},
        }
        if self.test is not None:
            values["mcnemar"] = {
                "of": "class" if self.of_classes else "real_or_not",
                "only_model_right": self.test.ours,
                "only_baseline_right": self.test.theirs,
                "p": self.test.p,
            }
        return values if self.why_not is None else {**values, "not_measured": self.why_not}


def compare(
    ours: PredictionRows,
    theirs: PredictionRows,
    samples: int = SAMPLES,
    on_progress: Callable[[int, int | None], None] = lambda finished, total: None,
) -> ModelComparison:
    """Compare two on their common pictures, matched by their indices in the set.

    Intervals are of groups, drawn as for all figures. McNemar's test takes pictures for
    independent, so that its p is too small where several have an original in common.
    """
    # By index in the set: names may differ, as baselines name pictures in their own way.
    _, mine, its = np.intersect1d(ours.indices, theirs.indices, return_indices=True)
    in_set = ours.indices[mine] >= 0
    our_rows, their_rows = _selected(ours, mine[in_set]), _selected(theirs, its[in_set])
    if not len(our_rows.truth):
        return ModelComparison(0, {}, None, False, "no picture was judged by both")
    # Both are reduced to what the coarser one can say.
    if "real_or_not" in (our_rows.says, their_rows.says):
        our_rows, their_rows = (
            replace(rows, says="real_or_not") for rows in (our_rows, their_rows)
        )
    part = _Difference(our_rows, their_rows)
    try:
        test, why_not = mcnemar(right(our_rows), right(their_rows)), None
    except MissingExtra as error:
        test, why_not = None, str(error).rstrip(".")
    difference = figures([part], our_rows.groups, samples, on_progress)
    return ModelComparison(
        len(our_rows.truth), difference, test, our_rows.says != "real_or_not", why_not
    )


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

    def __init__(self, rows: PredictionRows) -> None:
        not_real = rows.truth != REAL
        self.order = Order(not_real, 1 - rows.probabilities[:, REAL])
        two = not_real == (rows.predicted != REAL)
        self.rights = {"accuracy_real_vs_not": two.astype(np.float64)}
        if rows.says != "real_or_not" and (rows.truth != NOT_REAL).all():
            self.rights["accuracy"] = right(rows).astype(np.float64)

    def __call__(self, weights: Floats | None) -> dict[str, Score]:
        scores: dict[str, Score] = {n: mean(values, weights) for n, values in self.rights.items()}
        return scores | {"auroc_real_vs_not": auroc(self.order.curve(weights))}


class _Difference:
    def __init__(self, ours: PredictionRows, theirs: PredictionRows) -> None:
        self.ours, self.theirs = _Scores(ours), _Scores(theirs)

    def __call__(self, weights: Floats | None) -> dict[FigureName, Score]:
        other = self.theirs(weights)
        return {
            ("difference", name): score - their_score
            for name, score in self.ours(weights).items()
            if score is not None and (their_score := other[name]) is not None
        }


def _selected(rows: PredictionRows, at: NDArray[np.int64]) -> PredictionRows:
    """Rows of some pictures, with all that figures of their classes need, and no masks."""
    none = np.zeros(0, np.int64)
    columns = {
        field.name: getattr(rows, field.name)[at]
        for field in fields(rows)
        if field.name
        in ("truth", "predicted", "probabilities", "predicted_pixels", "pixels", "indices")
    }
    groups = np.unique(rows.groups[at], return_inverse=True)[1].astype(np.int64)
    return replace(
        rows, **columns, groups=groups, masked=none, counts=rows.counts[:0], mapped=none > 0
    )
