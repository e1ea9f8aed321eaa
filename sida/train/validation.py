"""Validation of a model in training: on whole labelled pictures, as a user gives them."""

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
from sida.model.calibration import Calibration, mask_limit
from sida.verdict import LABELS

__all__ = ["MASK_RULES", "THRESHOLDS", "Validation", "measurable", "validate"]

THRESHOLDS = np.round(np.arange(0.05, 1, 0.05), 2)
"""Probabilities at which masks are compared."""
EXAMPLES = 4
"""Pictures that are drawn with their masks for the trackers."""
MASK_RULES = (
    *((float(threshold), 0.0) for threshold in THRESHOLDS),
    *((float(THRESHOLDS[0]), relative) for relative in (0.2, 0.25, 0.3, 0.35, 0.4, 0.5)),
)
"""`mask_threshold` and `mask_relative` of the calibrations that are compared."""


@dataclass(frozen=True)
class Validation:
    """Outputs of a model for labelled pictures.

    Attributes:
        class_logits: (pictures, 3).
        truth: the true labels.
        masked: (masks,) indices of the truly tampered pictures with a true mask.
        mask_f1: (masks, rules) F1 of their masks by `MASK_RULES`.
        mask_iou: the same of the intersection over union.
        examples: picture, true and predicted mask of the first tampered ones, side by side.
    """

    class_logits: np.ndarray
    truth: list[str]
    masked: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    mask_f1: np.ndarray = field(default_factory=lambda: np.zeros((0, len(MASK_RULES))))
    mask_iou: np.ndarray = field(default_factory=lambda: np.zeros((0, len(MASK_RULES))))
    examples: list[np.ndarray] = field(default_factory=list)

    def metrics(self, calibration: Calibration) -> dict[str, float]:
        """Metrics end to end: a tampered picture that is called otherwise has an empty mask."""
        probabilities = calibration.probabilities(self.class_logits)
        truth = np.array([LABELS.index(label) for label in self.truth], np.int64)
        predicted = probabilities.argmax(1)
        table = confusion(truth, predicted)
        # The mask is shown for this verdict alone, so that another one scores 0.
        hits = predicted[self.masked] == LABELS.index("tampered")
        rule = (calibration.mask_threshold, calibration.mask_relative)
        level = int(np.abs(np.array(MASK_RULES) - rule).sum(1).argmin())
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
    """Names of the metrics that are defined on pictures with these labels and masks."""
    masked = [i for i, x in enumerate(samples) if x.label == "tampered" and x.mask]
    blank = np.zeros((len(masked), len(MASK_RULES)))
    truth = [sample.label for sample in samples]
    zeros = Validation(np.zeros((len(truth), 3)), truth, np.array(masked, int), blank, blank)
    return set(zeros.metrics(Calibration()))


def validate(model: Sida, processor: SidaProcessor, samples: Sequence[Sample]) -> Validation:
    """Detect on every readable picture of a labelled set, with masks of the tampered ones.

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
        (output,) = engine.infer([picture], [_always if mask is not None else _never])
        logits.append(output.class_logits)
        truth.append(sample.label)
        if mask is not None and output.mask_logits is not None:
            masked.append(len(truth) - 1)
            altered = altered_pixels(mask)
            predicted = [
                output.mask_logits > mask_limit(output.mask_logits, *rule) for rule in MASK_RULES
            ]
            f1s.append([f1(altered, mask_at) for mask_at in predicted])
            ious.append([iou(altered, mask_at) for mask_at in predicted])
            if len(examples) < EXAMPLES:
                examples.append(_example(picture.pixels, altered, output.mask_logits > 0))
    model.train(training)
    if not truth:
        raise DataError("No picture for validation can be read.")
    return Validation(
        np.stack(logits),
        truth,
        np.array(masked, np.int64),
        np.array(f1s).reshape(-1, len(MASK_RULES)),
        np.array(ious).reshape(-1, len(MASK_RULES)),
        examples,
    )


def _example(pixels: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    panels = [
        ("picture", pixels),
        ("truth", overlay(pixels, truth)),
        ("found", overlay(pixels, predicted)),
    ]
    return side_by_side(panels, height=256)


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _always(_: np.ndarray) -> bool:
    return True


def _never(_: np.ndarray) -> bool:
    return False
