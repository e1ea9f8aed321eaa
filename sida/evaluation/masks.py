"""Figures of masks, under every convention in use, from histograms of maps.

Names are exact: `f1_fixed` is at 0.5 and `f1_best` at the best threshold; `mean` is over pictures
and `pooled` over pixels of all; `tampered` counts the truly tampered ones, `detected`
those of them that are called so, `all` the real ones too; `inverse` lets a map be turned round.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sida.evaluation.metrics import (
    Floats,
    Score,
    best_f1,
    intersection_and_union,
    pixel_auc,
    ratio,
)
from sida.evaluation.prediction_rows import PredictionRows
from sida.evaluation.protocol import Protocol, missed
from sida.evaluation.scores import FigureName
from sida.image.arrays import ALTERED_THRESHOLD
from sida.verdict import LABELS

__all__ = ["HEADINGS", "MASK_METRICS", "Masks"]

REAL, TAMPERED = LABELS.index("real"), LABELS.index("tampered")


def _f1_fixed(counts: NDArray[np.int64]) -> float:
    inside, union = intersection_and_union(counts, ALTERED_THRESHOLD)
    return 2 * inside / (inside + union) if inside + union else 1.0


def _iou_fixed(counts: NDArray[np.int64]) -> float:
    inside, union = intersection_and_union(counts, ALTERED_THRESHOLD)
    return inside / union if union else 1.0


class MaskMetric(NamedTuple):
    """A score of one mask, from the histograms (2, 256) of its map; higher is better for all.

    Attributes:
        name: in `metrics.json`, before the way of averaging.
        heading: in tables.
        missed: its value where a tampered picture was not detected.
    """

    name: str
    heading: str
    missed: float
    compute: Callable[[NDArray[np.int64]], Score]


MASK_METRICS = (
    MaskMetric("f1_fixed", "F1 at 0.5", 0.0, _f1_fixed),
    MaskMetric("iou_fixed", "IoU at 0.5", 0.0, _iou_fixed),
    MaskMetric("f1_best", "F1 at best", 0.0, best_f1),
    MaskMetric("pixel_auc", "AUC", 0.5, pixel_auc),
    MaskMetric(
        "f1_best_inverse",
        "F1 at best, map or its inverse",
        0.0,
        lambda counts: max(best_f1(counts), best_f1(counts[:, ::-1])),
    ),
    MaskMetric(
        "pixel_auc_inverse",
        "AUC, map or its inverse",
        0.5,
        lambda counts: None if (area := pixel_auc(counts)) is None else max(area, 1 - area),
    ),
)
"""Every score of a mask: the place to add one."""
HEADINGS = {metric.name: metric.heading for metric in MASK_METRICS}
_PER_MASK = tuple(metric.name for metric in MASK_METRICS)


class Masks:
    """Figures of localisation by a protocol, with reasons for those that are missing.

    In `end_to_end` a missed detection counts F1 (fixed and best) 0, IoU 0 and pixel AUC 0.5.
    """

    def __init__(self, rows: PredictionRows, protocol: Protocol) -> None:
        self.protocol = protocol
        is_missed = missed(protocol, rows.predicted[rows.masked])
        self.silent = rows.says != "masks"
        # A missed detection needs no map: its scores are known.
        usable = (rows.mapped | is_missed) & (not self.silent)
        self.unusable = int((~usable).sum())
        self.is_missed = is_missed[usable]
        self.indices = rows.masked[usable]
        self.called = rows.predicted[self.indices] == TAMPERED
        # End to end a user gets no mask of a missed picture, so its map counts as empty.
        self.counts = _without(rows.counts[usable], self.is_missed)
        self.values = _values(self.counts, self.is_missed)
        self.overlap = _overlaps(self.counts)
        self.real = np.flatnonzero(rows.truth == REAL)
        self.predicted_pixels, self.pixels = (
            rows.predicted_pixels[self.real],
            rows.pixels[self.real],
        )
        self.all = protocol == "end_to_end" and not (self.predicted_pixels < 0).any()
        self.tampered = int((rows.truth == TAMPERED).sum())

    def per_mask(self, name: str) -> tuple[NDArray[np.int64], Floats]:
        """Indices of pictures among all, and a score of each."""
        return self.indices, self.values[_PER_MASK.index(name)]

    def __call__(self, weights: Floats | None) -> dict[FigureName, Score]:
        if not len(self.indices):
            return {("localization", name): None for name in NAMES}
        counts_of_pictures = (
            np.ones(len(self.indices)) if weights is None else weights[self.indices]
        )
        scores = {f"{name}_mean_tampered": v for name, v in self._means(counts_of_pictures).items()}
        detected = self._means(counts_of_pictures * self.called)
        scores |= {f"{name}_mean_detected": detected[name] for name in _DETECTED}
        scores |= self._pooled(counts_of_pictures, exact=weights is None)
        scores |= {"giou": scores["iou_fixed_mean_tampered"], "ciou": scores["iou_pooled_tampered"]}
        if self.all:
            scores |= self._with_real(counts_of_pictures, weights)
        return {("localization", name): scores.get(name) for name in NAMES}

    def _means(self, weights: Floats) -> dict[str, Score]:
        """Means over pictures; where a score is not defined for one, over the others."""
        # AUC is not defined where a mask covers all of its picture.
        defined = ~np.isnan(self.values)
        sums, totals = np.where(defined, self.values, 0) @ weights, defined @ weights
        return {
            name: float(sums[i] / totals[i]) if totals[i] else None
            for i, name in enumerate(_PER_MASK)
        }

    def _pooled(self, weights: Floats, exact: bool) -> dict[str, Score]:
        """Over the pixels of all; a sample of the bootstrap need not be exact to the last pixel."""
        inside, predicted, altered = weights @ self.overlap
        if exact:
            counts = self.counts.sum(0, dtype=np.float64)
        else:
            # float32 twice as fast, for intervals alone; the figure itself is exact.
            flat = weights.astype(np.float32) @ self.counts.reshape(len(weights), -1)
            counts = flat.astype(np.float64).reshape(2, -1)
        # From the highest level down, level 0 left out: nothing is altered everywhere.
        hits, alarms = counts[:, :0:-1].cumsum(1)
        best = 2 * hits / np.maximum(hits + alarms + altered, 1)
        return {
            "f1_fixed_pooled_tampered": ratio(2 * inside, predicted + altered),
            "iou_pooled_tampered": ratio(inside, predicted + altered - inside),
            "f1_best_pooled_tampered": float(best.max()) if altered else None,
            "pixel_auc_pooled_tampered": pixel_auc(counts),
        }

    def _with_real(self, weights_of_masks: Floats, weights: Floats | None) -> dict[str, Score]:
        """With real pictures, whose mask is right where it is empty."""
        weights_of_real = np.ones(len(self.real)) if weights is None else weights[self.real]
        # A real picture has F1 and IoU 1 where its mask is empty, and 0 otherwise.
        clean = float(weights_of_real @ (self.predicted_pixels == 0))
        total = float(weights_of_masks.sum() + weights_of_real.sum())
        alarms = float(weights_of_real @ self.predicted_pixels)
        inside, predicted, altered = weights_of_masks @ self.overlap
        f1s, ious = (weights_of_masks @ self.values[i] + clean for i in (0, 1))
        return {
            "f1_fixed_mean_all": ratio(f1s, total),
            "iou_fixed_mean_all": ratio(ious, total),
            "f1_fixed_pooled_all": ratio(2 * inside, predicted + altered + alarms),
            "iou_pooled_all": ratio(inside, predicted + altered - inside + alarms),
            "pixel_fpr_real": ratio(alarms, float(weights_of_real @ self.pixels)),
        }

    def why_not(self, name: FigureName) -> str:
        """The reason why a figure is missing."""
        if not self.tampered:
            return "no picture is tampered"
        if self.silent:
            return "the verdicts do not say where a picture was altered"
        if not len(self.indices):
            if self.unusable:
                return f"none of the {self.unusable} masks has a probability map beside it"
            return "no tampered picture has a mask that can be used"
        if name[-1] in _WITH_REAL:
            if self.protocol == "published":
                return "this protocol makes no masks of real pictures"
            if not self.all:
                return "some real pictures are called tampered and have no mask in the file"
            return "no picture is real"
        if name[-1].endswith("_detected"):
            return "no tampered picture with a mask was called tampered"
        return "every mask covers its whole picture"


_DETECTED = ("f1_fixed", "iou_fixed", "f1_best", "pixel_auc")
_WITH_REAL = (
    *("f1_fixed_mean_all", "iou_fixed_mean_all", "f1_fixed_pooled_all", "iou_pooled_all"),
    "pixel_fpr_real",
)
NAMES = (
    *(f"{name}_mean_tampered" for name in _PER_MASK),
    *(f"{name}_mean_detected" for name in _DETECTED),
    *("f1_fixed_pooled_tampered", "f1_best_pooled_tampered", "iou_pooled_tampered"),
    *("pixel_auc_pooled_tampered", "giou", "ciou"),
    *_WITH_REAL,
)
"""Every figure, whether it can be had or not."""


def _without(counts: NDArray[np.float32], is_missed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Histograms where nothing is marked in pictures that were missed."""
    if not is_missed.any():
        return counts
    counts = counts.copy()
    counts[is_missed] = np.pad(counts[is_missed].sum(2, keepdims=True), ((0, 0), (0, 0), (0, 255)))
    return counts


def _overlaps(counts: NDArray[np.float32]) -> Floats:
    """(m, 3) pixels in both masks, in the predicted one, and in the true one."""
    exact = counts.astype(np.float64)
    inside, outside = (exact[:, i, ALTERED_THRESHOLD:].sum(1) for i in (0, 1))
    return np.stack([inside, inside + outside, exact[:, 0].sum(1)], 1)


def _values(counts: NDArray[np.float32], is_missed: NDArray[np.bool_]) -> Floats:
    """(scores, m) in the order of `_PER_MASK`; NaN where a score is not defined."""
    columns = [
        [metric.missed for metric in MASK_METRICS] if without else _scores(picture)
        for picture, without in zip(counts, is_missed, strict=True)
    ]
    return np.array(columns, np.float64).reshape(-1, len(_PER_MASK)).T


def _scores(counts: NDArray[np.float32]) -> list[float]:
    exact = counts.astype(np.int64)
    scores = (metric.compute(exact) for metric in MASK_METRICS)
    return [np.nan if score is None else score for score in scores]
