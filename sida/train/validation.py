"""How a model judges labelled pictures while it is trained: whole pictures, as a user would."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import sida.data
from sida.errors import PictureError
from sida.evaluation.metrics import auroc, balanced_accuracy, confusion, f1, iou, recalls
from sida.inference.engine import Engine
from sida.model import Sida, SidaProcessor
from sida.verdict import LABELS

__all__ = ["THRESHOLDS", "Validation", "validate"]

THRESHOLDS = np.round(np.arange(0.05, 1, 0.05), 2)
"""Probabilities at which masks are tried."""
LEVELS = np.log(THRESHOLDS / (1 - THRESHOLDS))


@dataclass(frozen=True)
class Validation:
    """What a model said of labelled pictures, and the metrics that follow.

    Attributes:
        class_logits: (pictures, 3).
        truth: the true labels.
        mask_f1: (masks, thresholds) F1 of the masks of truly tampered pictures at `THRESHOLDS`.
        metrics: end to end, with the plain softmax and masks at 0.5.
    """

    class_logits: np.ndarray
    truth: list[str]
    mask_f1: np.ndarray
    metrics: dict[str, float]


def validate(model: Sida, processor: SidaProcessor, data: str | Path) -> Validation:
    """Judge every readable picture of a labelled set; a missed detection has an empty mask."""
    training = model.training
    engine = Engine(model, processor)
    logits, truth, masks, curves = [], [], [], []
    for sample in sida.data.open(data):
        try:
            picture = sample.read()
        except PictureError:
            continue
        mask = sample.read_mask() if sample.label == "tampered" else None
        (judged,) = engine.judge([picture], [_always if mask is not None else _never])
        logits.append(judged.class_logits)
        truth.append(sample.label)
        if mask is None or judged.mask_logits is None:
            continue
        found = LABELS[judged.class_logits.argmax()] == "tampered"
        masks.append(_overlap(mask >= 128, judged.mask_logits, found))
        curves.append([f1(mask >= 128, judged.mask_logits > level) for level in LEVELS])
    model.train(training)
    scores = np.stack(logits) if logits else np.zeros((0, 3))
    mask_f1 = np.array(curves).reshape(-1, len(THRESHOLDS))
    return Validation(scores, truth, mask_f1, _metrics(scores, truth, masks))


def _always(_: np.ndarray) -> bool:
    return True


def _never(_: np.ndarray) -> bool:
    return False


def _overlap(mask: np.ndarray, logits: np.ndarray, found: bool) -> tuple[float, float]:
    """F1 and IoU at 0.5 of a tampered picture's mask; 0 where it was not called tampered."""
    return (f1(mask, logits > 0), iou(mask, logits > 0)) if found else (0.0, 0.0)


def _metrics(
    logits: np.ndarray, truth: list[str], masks: Sequence[tuple[float, float]]
) -> dict[str, float]:
    predicted = [LABELS[i] for i in logits.argmax(1)]
    table = confusion(truth, predicted)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    real = powers[:, 0] / powers.sum(1)
    metrics = {
        "count": len(truth),
        "accuracy": float(np.trace(table) / max(1, table.sum())),
        "balanced_accuracy": balanced_accuracy(table),
        "auroc_real_vs_not": auroc(np.array([t != "real" for t in truth], bool), 1 - real),
        "f1_fixed_mean_tampered": float(np.mean([f for f, _ in masks])) if masks else None,
        "iou_fixed_mean_tampered": float(np.mean([i for _, i in masks])) if masks else None,
        **{f"recall_{label}": value for label, value in recalls(table).items()},
    }
    return {name: round(value, 4) for name, value in metrics.items() if value is not None}
