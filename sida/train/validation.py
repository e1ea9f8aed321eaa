"""How a model judges labelled pictures while it is trained: whole pictures, as a user would."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sida.data.sample import Sample
from sida.errors import DataError, PictureError
from sida.evaluation.metrics import (
    Order,
    accuracy,
    auroc,
    balanced_accuracy,
    confusion,
    f1,
    iou,
    recalls,
)
from sida.image.arrays import altered_pixels
from sida.image.overlay import overlay, side_by_side
from sida.inference.engine import Engine
from sida.model import Sida, SidaProcessor
from sida.model.calibration import Calibration
from sida.verdict import LABELS

__all__ = ["THRESHOLDS", "Validation", "measurable", "validate"]

THRESHOLDS = np.round(np.arange(0.05, 1, 0.05), 2)
"""Probabilities at which masks are tried."""
EXAMPLES = 4
"""Pictures that are kept to be looked at."""
LEVELS = np.log(THRESHOLDS / (1 - THRESHOLDS))


@dataclass(frozen=True)
class Validation:
    """What a model said of labelled pictures.

    Attributes:
        class_logits: (pictures, 3).
        truth: the true labels.
        masked: (masks,) places of the truly tampered pictures whose mask is known.
        mask_f1: (masks, thresholds) F1 of their masks at `THRESHOLDS`.
        mask_iou: the same of the intersection over union.
        examples: of the first tampered ones picture, truth and prediction, side by side.
    """

    class_logits: np.ndarray
    truth: list[str]
    masked: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    mask_f1: np.ndarray = field(default_factory=lambda: np.zeros((0, len(THRESHOLDS))))
    mask_iou: np.ndarray = field(default_factory=lambda: np.zeros((0, len(THRESHOLDS))))
    examples: list[np.ndarray] = field(default_factory=list)

    def metrics(self, calibration: Calibration) -> dict[str, float]:
        """Metrics end to end: a tampered picture that is called otherwise has an empty mask."""
        probabilities = calibration.probabilities(self.class_logits)
        truth = np.array([LABELS.index(label) for label in self.truth], np.int64)
        predicted = probabilities.argmax(1)
        table = confusion(truth, predicted)
        hits = predicted[self.masked] == LABELS.index("tampered")
        level = int(np.abs(THRESHOLDS - calibration.mask_threshold).argmin())
        metrics = {
            "count": len(self.truth),
            "accuracy": accuracy(table),
            "balanced_accuracy": balanced_accuracy(table),
            "auroc_real_vs_not": auroc(Order(truth != 0, 1 - probabilities[:, 0])),
            "f1_fixed_mean_tampered": _mean(self.mask_f1[:, level] * hits),
            "iou_fixed_mean_tampered": _mean(self.mask_iou[:, level] * hits),
            **{f"recall_{label}": value for label, value in recalls(table).items()},
        }
        return {name: round(value, 4) for name, value in metrics.items() if value is not None}


def measurable(samples: Sequence[Sample]) -> set[str]:
    """Names of the metrics that labelled pictures with these labels and masks can tell."""
    masked = [i for i, each in enumerate(samples) if each.label == "tampered" and each.mask]
    blank = np.zeros((len(masked), len(LEVELS)))
    truth = [sample.label for sample in samples]
    nothing = Validation(np.zeros((len(truth), 3)), truth, np.array(masked, int), blank, blank)
    return set(nothing.metrics(Calibration()))


def validate(model: Sida, processor: SidaProcessor, samples: Sequence[Sample]) -> Validation:
    """Judge every readable picture of a labelled set, with masks of the tampered ones.

    Raises:
        DataError: none can be read.
    """
    training = model.training
    engine = Engine(model, processor)
    logits, truth, masked, f1s, ious = [], [], [], [], []
    examples: list[np.ndarray] = []
    for sample in samples:
        try:
            picture = sample.read()
            mask = sample.read_mask() if sample.label == "tampered" else None
        except PictureError:
            continue
        (judged,) = engine.infer([picture], [_always if mask is not None else _never])
        logits.append(judged.class_logits)
        truth.append(sample.label)
        if mask is not None and judged.mask_logits is not None:
            masked.append(len(truth) - 1)
            altered, found = altered_pixels(mask), [judged.mask_logits > level for level in LEVELS]
            f1s.append([f1(altered, at) for at in found])
            ious.append([iou(altered, at) for at in found])
            if len(examples) < EXAMPLES:
                examples.append(_example(picture.pixels, altered, judged.mask_logits > 0))
    model.train(training)
    if not truth:
        raise DataError("No picture for validation can be read.")
    return Validation(
        np.stack(logits),
        truth,
        np.array(masked, np.int64),
        np.array(f1s).reshape(-1, len(LEVELS)),
        np.array(ious).reshape(-1, len(LEVELS)),
        examples,
    )


def _example(pixels: np.ndarray, truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    panels = [
        ("picture", pixels),
        ("truth", overlay(pixels, truth)),
        ("found", overlay(pixels, found)),
    ]
    return side_by_side(panels, height=256)


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _always(_: np.ndarray) -> bool:
    return True


def _never(_: np.ndarray) -> bool:
    return False
