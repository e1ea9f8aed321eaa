"""Fitting class scaling and mask threshold to held-back pictures."""

import numpy as np
import torch
import torch.nn.functional as F

from sida.model.calibration import Calibration
from sida.train.lbfgs import minimize
from sida.train.validation import MASK_RULES, THRESHOLDS, Validation
from sida.verdict import LABELS

__all__ = ["best_mask_rule", "fit_calibration", "fit_scaling", "unsure_below"]

SLACK = 0.02
"""Mean F1 of masks that makes no difference."""
MIN_ACCURACY = 0.9
"""Share of verdicts that are right among those that are not inconclusive."""
MIN_VERDICTS = 10
"""Verdicts below which a share of them says nothing."""


def fit_calibration(result: Validation, digest: str) -> Calibration:
    """The calibration of the weights with this digest, from their outputs on held-back pictures.

    It is the identity where a class is missing.
    """
    if len(set(result.truth)) < len(LABELS):
        return Calibration()
    labels = np.array([LABELS.index(label) for label in result.truth])
    scale, bias = fit_scaling(result.class_logits, labels)
    threshold, relative = best_mask_rule(result.mask_f1)
    fitted = Calibration(
        scale=(scale,) * 3,
        bias=bias,
        mask_threshold=threshold,
        mask_relative=relative,
        digest=digest,
    )
    probabilities = fitted.probabilities(result.class_logits)
    return fitted.model_copy(update={"unsure_below": unsure_below(probabilities, labels)})


def unsure_below(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """For each label the probability from which on verdicts are right nine times in ten.

    It is the lowest such that of the verdicts with this label and at least this probability a
    share of `MIN_ACCURACY` was right; 1 where there is none, or too few verdicts to say.

    Args:
        probabilities: (pictures, 3).
        labels: (pictures,) true class numbers.
    """
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    limits = []
    for label in range(probabilities.shape[1]):
        rows = np.flatnonzero(predicted == label)
        order = rows[np.argsort(-confidence[rows], kind="stable")]
        count = np.arange(1, len(order) + 1)
        share = np.cumsum(labels[order] == label) / count
        sufficient = np.flatnonzero((share >= MIN_ACCURACY) & (count >= MIN_VERDICTS))
        limits.append(float(confidence[order[sufficient[-1]]]) if len(sufficient) else 1.0)
    return limits[0], limits[1], limits[2]


def best_mask_rule(mask_f1: np.ndarray) -> tuple[float, float]:
    """`mask_threshold` and `mask_relative` with which masks agree best with the truth.

    A relative limit is taken where it is better by more than 0.02. Else it is, of the thresholds
    about as good as the best, the highest, which marks least; and 0.5 where the best is no better
    than the lowest, which marks about everything: masks that say nothing are better empty than
    full.

    Args:
        mask_f1: (masks, rules), F1 by `MASK_RULES`.
    """
    means = mask_f1.mean(0) if len(mask_f1) else np.zeros(len(MASK_RULES))
    fixed = means[: len(THRESHOLDS)]
    if means.max() > fixed.max() + SLACK:
        return MASK_RULES[int(means.argmax())]
    if fixed.max() <= fixed[0] + SLACK:
        return 0.5, 0.0
    return MASK_RULES[int(np.flatnonzero(fixed >= fixed.max() - SLACK)[-1])]


def fit_scaling(logits: np.ndarray, labels: np.ndarray) -> tuple[float, tuple[float, float, float]]:
    """A temperature and a bias for each class, by maximum likelihood (Guo et al., 2017).

    Classes weigh the same whatever their number.

    Args:
        logits: (pictures, 3).
        labels: (pictures,) in 0-2, each class at least once.
    """
    # float64, since L-BFGS ends its line search on differences of losses that float32 rounds off.
    values = torch.tensor(logits, dtype=torch.float64)
    targets = torch.tensor(labels)
    weights = 1 / torch.bincount(targets, minlength=3).double()
    log_scale = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)

    def loss() -> torch.Tensor:
        scaled = values * log_scale.exp() + bias
        # The penalty fixes the constant that softmax leaves open, and bounds the biases of classes
        # that can be separated.
        return F.cross_entropy(scaled, targets, weight=weights) + 1e-3 * bias.square().sum()

    minimize([log_scale, bias], loss, iterations=200)
    a, b, c = (bias - bias.mean()).detach().tolist()
    return float(log_scale.detach().exp()), (a, b, c)
