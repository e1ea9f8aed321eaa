"""`Result`: all figures of a model on a set, as JSON and as tables."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sida.evaluation.budgets import BudgetCurve, under_budget
from sida.evaluation.comparison import ModelComparison
from sida.evaluation.explanations import Explanations
from sida.evaluation.masks import Masks
from sida.evaluation.metrics import intersection_and_union
from sida.evaluation.prediction_rows import PredictionRows
from sida.evaluation.protocol import Protocol, published_formulas
from sida.evaluation.scores import (
    SAMPLES,
    Detection,
    Figure,
    FigureName,
    FigurePart,
    Figures,
    Origins,
    Reliability,
    figures,
    reliability,
)
from sida.evaluation.stability import StabilityFigures
from sida.image.arrays import ALTERED_THRESHOLD
from sida.verdict import LABELS

__all__ = ["SCHEMA", "Result", "formulas", "measure"]

SCHEMA = "sida.metrics/1"
BY_MASK = ("f1_fixed", "iou_fixed", "pixel_auc")


@dataclass(frozen=True)
class Result:
    """All figures of a model on a set.

    Attributes:
        protocol: by which masks were counted.
        data: the set, as the user named it.
        rows: numbers of each picture.
        figures: by their names in the JSON.
        not_measured: names of missing figures, and the reason.
        confusion: (3, 3) counts, true by predicted class; (3, 2) where verdicts are real or not.
        reliability: bins of the calibration error.
        robustness: perturbation -> figures of the perturbed pictures.
        baselines: name -> figures of another model on the same set.
        compared: name -> the comparison on the pictures that both have predictions for.
        explanation_texts: how many texts were measured, and of which; None where none were.
        published_formulas: figures of the published script; None where not asked for.
        budgets: the budget that verdicts were counted under, and the curve; None without one.
    """

    protocol: Protocol
    data: str
    rows: PredictionRows
    figures: Figures
    not_measured: Mapping[FigureName, str]
    confusion: Sequence[Sequence[int]]
    reliability: Sequence[Reliability]
    detection: Detection
    masks: Masks
    robustness: Mapping[str, "Result"] = field(default_factory=dict)
    baselines: Mapping[str, "Result"] = field(default_factory=dict)
    compared: Mapping[str, ModelComparison] = field(default_factory=dict)
    explanation_texts: Mapping[str, int] | None = None
    published_formulas: Mapping[str, float | None] | None = None
    budgets: BudgetCurve | None = None

    def get(self, *name: str) -> Figure | None:
        """A figure by its name, None where it is missing."""
        return self.figures.get(name)

    @property
    def called(self) -> tuple[str, ...]:
        """Predicted classes: the columns of the confusion."""
        return ("real", "not_real") if self.detection.two else LABELS

    def as_json(self) -> dict[str, object]:
        """The content of `metrics.json`; the same for the same predictions."""
        rows = self.rows
        content: dict[str, Any] = {
            "schema": SCHEMA,
            "protocol": self.protocol,
            "model": None if rows.model is None else rows.model.model_dump(),
            "data": self.data,
            "count": len(rows.truth),
            "failures": dict(Counter(failure.error for failure in rows.failures)),
            **{part: {} for part in ("detection", "per_class", "localization")},
            "robustness": {
                name: _short(result.figures) for name, result in self.robustness.items()
            },
            **{part: {} for part in ("by_source", "by_generator")},
            "not_measured": {
                ".".join(name[1:]): reason for name, reason in self.not_measured.items()
            },
            "confusion": {
                label: dict(zip(self.called, row, strict=True))
                for label, row in zip(LABELS, self.confusion, strict=True)
            },
            "reliability": [vars(group) for group in self.reliability],
            "notes": list(rows.notes),
            "intervals": {"samples": SAMPLES, "by": "group" if rows.grouped else "picture"},
        }
        for name, figure in self.figures.items():
            section = content
            for step in name[:-1]:
                section = section.setdefault(step, {})
            section[name[-1]] = figure._asdict()
        if self.compared:
            content["baselines"] = {name: self._baseline(name) for name in self.compared}
        if self.budgets is not None:
            content["budget"] = self.budgets.as_json()
        if self.explanation_texts is not None:
            content["explanation_texts"] = self.explanation_texts
        if self.published_formulas is not None:
            content["published_formulas"] = self.published_formulas
        return content

    def _baseline(self, name: str) -> dict[str, object]:
        """A baseline's figures, short, and how it compares."""
        result = self.baselines[name]
        model = result.rows.model
        return {
            "model": None if model is None else model.model_dump(),
            "judged": len(result.rows.truth),
            "figures": _short(result.figures),
            "compared": self.compared[name].as_json(),
        }


def measure(
    rows: PredictionRows,
    protocol: Protocol,
    data: str,
    samples: int = SAMPLES,
    on_progress: Callable[[int, int | None], None] = lambda finished, total: None,
    explanations: Explanations | None = None,
    stability: StabilityFigures | None = None,
    budgets: BudgetCurve | None = None,
) -> Result:
    """Every figure of some predictions, with intervals.

    Args:
        rows: numbers of each picture.
        protocol: how masks are counted.
        data: the set's name.
        samples: of the bootstrap.
        on_progress: called after each of them.
        explanations: texts of the same pictures, where they are to be measured.
        stability: the verdicts on their deliveries, likewise.
        budgets: the curve, where verdicts are to be counted under a budget.
    """
    if budgets is not None:
        rows = under_budget(rows, budgets.budget)
        if stability is not None:
            stability = stability.under(rows, budgets.budget)
            rows = replace(rows, inconclusive=rows.inconclusive | stability.unstable)
    detection, masks = Detection(rows), Masks(rows, protocol)
    per_mask = {f"{name}_mean_tampered": masks.per_mask(name) for name in BY_MASK}
    further = [part for part in (budgets, explanations, stability) if part is not None]
    parts: list[FigurePart] = [detection, masks]
    parts.append(Origins("by_source", rows.sources, rows, per_mask))
    parts.append(Origins("by_generator", rows.generators, rows, per_mask))
    parts += further
    values = figures(parts, rows.groups, samples, on_progress)
    missing = {
        name: part.why_not(name)
        for part in (detection, masks, *further)
        for name in part(None)
        if name not in values
    }
    table = detection.table().astype(int)
    if detection.two:
        table = np.stack([table[:, 0], table[:, 1:].sum(1)], 1)
    bins = reliability(detection)
    result = Result(protocol, data, rows, values, missing, table.tolist(), bins, detection, masks)
    if budgets is not None:
        result = replace(result, budgets=budgets)
    if explanations is None:
        return result
    return replace(result, explanation_texts=explanations.counts())


def formulas(result: Result) -> dict[str, float | None]:
    """The published formulas, of masks by the protocol `published`; none without classes."""
    if result.detection.two:
        return {}
    histograms = Masks(result.rows, "published").counts
    overlaps = [
        intersection_and_union(counts.astype(np.int64), ALTERED_THRESHOLD) for counts in histograms
    ]
    pairs = np.array(overlaps, np.int64).reshape(-1, 2)
    return published_formulas(np.array(result.confusion, float), pairs[:, 0], pairs[:, 1])


_PERTURBED = ("detection", "localization")


def _short(values: Figures) -> dict[str, dict[str, object]]:
    """Figures of a perturbation, without those by class and source."""
    return {name[-1]: figure._asdict() for name, figure in values.items() if name[0] in _PERTURBED}
