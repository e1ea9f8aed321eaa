"""How a model judges labelled pictures while it is trained: whole pictures, as a user would."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import sida.data
from sida.data.sample import Sample
from sida.errors import PictureError
from sida.evaluation.metrics import auroc, balanced_accuracy, confusion, f1, iou, recalls
from sida.inference.engine import Engine
from sida.model import Sida, SidaProcessor
from sida.verdict import LABELS

__all__ = ["Validation", "validate"]


@dataclass(frozen=True)
class Validation:
    """Class logits (pictures, 3), the true labels, and the metrics that follow."""

    class_logits: np.ndarray
    truth: list[str]
    metrics: dict[str, float]


def validate(model: Sida, processor: SidaProcessor, data: str | Path) -> Validation:
    """Judge every readable picture of a labelled set; a missed detection has an empty mask."""
    training = model.training
    engine = Engine(model, processor)
    logits, truth, masks = [], [], []
    for sample in sida.data.open(data):
        try:
            picture = sample.read()
        except PictureError:
            continue
        (judged,) = engine.judge([picture], [lambda scores: LABELS[scores.argmax()] == "tampered"])
        logits.append(judged.class_logits)
        truth.append(sample.label)
        masks.append(_overlap(sample, judged.mask_logits))
    model.train(training)
    scores = np.stack(logits) if logits else np.zeros((0, 3))
    return Validation(scores, truth, _metrics(scores, truth, masks))


def _overlap(sample: Sample, logits: np.ndarray | None) -> tuple[float, float] | None:
    """F1 and IoU at 0.5 of a tampered picture's mask; None for others."""
    mask = sample.read_mask() if sample.label == "tampered" else None
    if mask is None:
        return None
    if logits is None:
        return 0.0, 0.0
    return f1(mask >= 128, logits > 0), iou(mask >= 128, logits > 0)


def _metrics(
    logits: np.ndarray, truth: list[str], masks: Sequence[tuple[float, float] | None]
) -> dict[str, float]:
    predicted = [LABELS[i] for i in logits.argmax(1)]
    table = confusion(truth, predicted)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    real = powers[:, 0] / powers.sum(1)
    found = [mask for mask in masks if mask is not None]
    metrics = {
        "count": len(truth),
        "accuracy": float(np.trace(table) / max(1, table.sum())),
        "balanced_accuracy": balanced_accuracy(table),
        "auroc_real_vs_not": auroc(np.array([t != "real" for t in truth], bool), 1 - real),
        "f1_fixed_mean_tampered": float(np.mean([f for f, _ in found])) if found else None,
        "iou_fixed_mean_tampered": float(np.mean([i for _, i in found])) if found else None,
        **{f"recall_{label}": value for label, value in recalls(table).items()},
    }
    return {name: round(value, 4) for name, value in metrics.items() if value is not None}
