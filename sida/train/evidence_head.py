"""The evidence head of an encoder, fitted before the first step: a convex problem with one answer.

A linear probe of frozen features is hard to beat and easy to spoil by too many steps. So the head
is not trained with the rest but fitted to its optimum, under a penalty that is as strong as the
features are many; what is trained behind it begins at the probe's level.
"""

from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from sida.model.clip_windows import SYNTHETIC, TAMPERED, ClipWindows
from sida.train.lbfgs import minimize

__all__ = ["fit_evidence", "source_weights"]

ITERATIONS = 100
LOCAL_PENALTY = 0.01
"""Of the weights of local evidence, which are few."""


def source_weights(
    labels: Sequence[str], sources: Sequence[str | None], power: float
) -> torch.Tensor:
    """Weights (pictures,) that sum to 1: classes alike, a source of n pictures as n to a power."""
    sizes = Counter(zip(labels, sources, strict=True))
    shares = {key: size ** (power - 1) for key, size in sizes.items()}
    totals = Counter[str]()
    for (label, source), size in sizes.items():
        totals[label] += size * shares[label, source]
    weights = [shares[x, s] / totals[x] for x, s in zip(labels, sources, strict=True)]
    return torch.tensor(weights) / len(totals)


def fit_evidence(
    encoder: ClipWindows,
    vectors: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    penalty: float,
) -> float:
    """Fit scales and evidence head; returns the sum of the weighted cross-entropies at the optimum.

    Each class is set against real photographs by a logistic regression of its own, on standardised
    features with an L2 penalty, by L-BFGS (individualized logits: C. B. Begg and R. Gray, 1984).
    Fitted together, the style of tampered collections would bend what tells generated pictures.
    Weights of the few numbers of local evidence are hardly penalised.

    Args:
        vectors: (pictures, feature_count), as `ClipWindows.features` gives them.
        labels: (pictures,) class numbers, 0 for real.
        weights: (pictures,), of which classes have equal sums.
        penalty: half of it times the sum of squared weights of the whole picture's features is
            added to a cross-entropy.
    """
    encoder.get_buffer("mean").copy_(vectors.mean(0))
    encoder.get_buffer("deviation").copy_(vectors.std(0).clamp_min(1e-6))
    # On the CPU in float32, whatever device and dtype the encoder is held in.
    scaled = encoder.standardized(vectors.to(encoder.evidence.weight.device)).float().cpu()
    total_loss = 0.0
    # The logit of "real" stays 0, which the two regressions are relative to.
    with torch.no_grad():
        encoder.evidence.weight.zero_()
        encoder.evidence.bias.zero_()
    strengths = torch.full((encoder.feature_count,), LOCAL_PENALTY)
    strengths[: encoder.whole_count] = penalty
    for label in (SYNTHETIC, TAMPERED):
        columns = encoder.evidence_columns(label)
        rows = (labels == 0) | (labels == label)
        share = weights[rows] / weights[rows].sum()
        weight, bias, loss = _against_real(
            scaled[rows, columns], labels[rows] == label, share, strengths[columns]
        )
        with torch.no_grad():
            encoder.evidence.weight[label, columns] = weight
            encoder.evidence.bias[label] = bias
        total_loss += loss
    return total_loss


def _against_real(
    inputs: torch.Tensor, truth: torch.Tensor, weights: torch.Tensor, penalty: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Weight (features,), bias () and loss of a logistic regression."""
    weight = torch.zeros(inputs.shape[1], requires_grad=True)
    bias = torch.zeros((), requires_grad=True)

    def loss() -> torch.Tensor:
        losses = F.binary_cross_entropy_with_logits(
            inputs @ weight + bias, truth.float(), reduction="none"
        )
        return (weights * losses).sum()

    def penalized() -> torch.Tensor:
        return loss() + 0.5 * (penalty * weight.square()).sum()

    minimize([weight, bias], penalized, ITERATIONS, history=10)
    with torch.no_grad():
        return weight.detach(), bias.detach(), float(loss())
