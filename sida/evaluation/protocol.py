"""The two protocols, and the published formulas under honest names.

`end_to_end` is what a user gets: the model runs freely, and a tampered picture that is called
otherwise has no mask. `published` is how the original was measured: masks are taken of the truly
tampered pictures alone, whatever the verdict. The class is the same in both: attention is causal,
so that it is read before any answer (`docs/faithfulness.md`).
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sida.evaluation.metrics import Floats, Score, precisions, recalls
from sida.verdict import LABELS

__all__ = ["Protocol", "missed", "published_formulas"]

Protocol = Literal["end_to_end", "published"]


def missed(protocol: Protocol, predicted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(m,) True for truly tampered pictures without a mask, by their predicted classes."""
    if protocol == "published":
        return np.zeros(len(predicted), bool)
    return np.asarray(predicted != LABELS.index("tampered"))


def published_formulas(
    table: Floats, intersections: NDArray[np.int64], unions: NDArray[np.int64]
) -> dict[str, Score]:
    """Figures of the original script, under names that say what they are.

    It called 100 x the first "pixel accuracy", the second "F1" and the third "AUC". Pictures of
    the mask figures are the truly tampered ones; without any the original ended with an error.

    Args:
        table: (3, 3) counts, rows are true classes.
        intersections: (m,) pixels in both masks, of each truly tampered picture.
        unions: (m,) pixels in either.

    Returns:
        None for what needs a mask where there is none.
    """
    correct = float(np.trace(table) / table.sum()) if table.sum() else None
    ciou = giou = harmonic = None
    if len(unions):
        ciou = float(intersections.sum() / (unions.sum() + 1e-10))
        overlaps = intersections / (unions + 1e-5) + (unions == 0)
        giou = float(overlaps.sum() / (len(unions) + 1e-5))
    if correct is not None and ciou is not None:
        harmonic = 2 * ciou * correct / (ciou + correct + 1e-10)
    precision, recall = (
        sum(shares.get(label, 0.0) for label in LABELS) / len(LABELS)
        for shares in (precisions(table), recalls(table))
    )
    return {
        "published_pixel_accuracy_is_ciou": ciou,
        "published_f1_is_harmonic_mean_of_ciou_and_accuracy": harmonic,
        "published_auc_is_mean_precision_times_mean_recall": precision * recall,
        "published_giou": giou,
        "published_accuracy": correct,
    }
