"""Fitting class scaling and mask threshold to held-back pictures."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from sida.model.calibration import Calibration
from sida.model.checkpoint import digest_of
from sida.train.validation import THRESHOLDS, Validation
from sida.verdict import LABELS

__all__ = ["best_threshold", "fit_calibration", "fit_scaling"]


def fit_calibration(result: Validation, folder: Path) -> None:
    """Write `calibration.json` for the weights in `folder`, from what they say of other data."""
    if len(set(result.truth)) < len(LABELS):
        return
    labels = np.array([LABELS.index(label) for label in result.truth])
    scale, bias = fit_scaling(result.class_logits, labels)
    Calibration(
        scale=(scale,) * 3,
        bias=bias,
        mask_threshold=best_threshold(result.mask_f1),
        digest=digest_of(folder),
    ).save(folder)


def best_threshold(mask_f1: np.ndarray) -> float:
    """The probability at which masks agree best with the truth.

    It is 0.5 where that is no better than a low threshold, which marks about everything: masks
    that say nothing are better empty than full.

    Args:
        mask_f1: (masks, thresholds), F1 at `THRESHOLDS`.
    """
    means = mask_f1.mean(0) if len(mask_f1) else np.zeros(len(THRESHOLDS))
    best = int(means.argmax())
    return float(THRESHOLDS[best]) if means[best] > means[0] + 0.02 else 0.5


def fit_scaling(logits: np.ndarray, labels: np.ndarray) -> tuple[float, tuple[float, float, float]]:
    """One temperature and a bias a class, by maximum likelihood (Guo et al., 2017).

    Classes weigh the same whatever their number.

    Args:
        logits: (pictures, 3).
        labels: (pictures,) in 0-2, each class at least once.
    """
    values = torch.tensor(logits, dtype=torch.float64)
    targets = torch.tensor(labels)
    weights = 1 / torch.bincount(targets, minlength=3).double()
    log_scale = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_scale, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        scaled = values * log_scale.exp() + bias
        loss = F.cross_entropy(scaled, targets, weight=weights) + 1e-3 * bias.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    a, b, c = (bias - bias.mean()).detach().tolist()
    return float(log_scale.detach().exp()), (a, b, c)
