"""The losses, each a sum over what it applies to; pure functions.

A picture without a true mask has no mask loss, one without a description no text loss; nothing
asks for the class. Sums and counts are kept apart, so that micro-batches and ranks add up to
exactly the loss of the whole batch.
"""

import torch
import torch.nn.functional as F

from sida.model.prompt import IGNORED

__all__ = ["class_sum", "mask_sums", "supervised", "text_sum"]


def class_sum(
    logits: torch.Tensor,
    labels: torch.Tensor,
    teacher: torch.Tensor | None = None,
    share: float = 0.0,
) -> torch.Tensor:
    """Cross-entropy of class logits (pictures, 3) with labels (pictures,), summed.

    Args:
        teacher: logits (pictures, 3) of another head; a `share` of the target is its softmax.
    """
    if teacher is None or not share:
        return F.cross_entropy(logits.float(), labels, reduction="sum")
    target = (1 - share) * F.one_hot(labels, logits.shape[1]).float()
    target = target + share * teacher.detach().float().softmax(1)
    return F.cross_entropy(logits.float(), target, reduction="sum")


def mask_sums(
    logits: torch.Tensor, truth: torch.Tensor, inside: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Binary cross-entropy, and Dice loss, each summed over masks.

    Cross-entropy is the mean over a mask's pixels. Dice, as published by LISA, is
    1 - (2 Σpt/1000 + ε) / (Σp/1000 + Σt/1000 + ε) with ε = 1e-6; it has no slope where the truth
    is empty, and such masks are left out.

    Args:
        logits: (windows, height, width) at the size of the truth.
        truth: (windows, height, width) in 0-1, soft edges allowed.
        inside: (windows, height, width) bool, False in the padding.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    entropy = (entropy * inside).flatten(1).sum(1) / inside.flatten(1).sum(1)
    probability = (logits.sigmoid() * inside).flatten(1)
    target = (truth * inside).flatten(1)
    overlap = 2 * (probability / 1000 * target).sum(1)
    size = (probability / 1000).sum(1) + (target / 1000).sum(1)
    dice = 1 - (overlap + 1e-6) / (size + 1e-6)
    return entropy.sum(), dice[target.sum(1) > 0].sum()


def text_sum(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Next-token cross-entropy, summed over supervised tokens.

    Args:
        logits: (pictures, tokens, vocabulary).
        labels: (pictures, tokens), the ids themselves, `IGNORED` where nothing is to be learned.
    """
    shifted, targets = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    wanted = targets != IGNORED
    return F.cross_entropy(shifted[wanted].float(), targets[wanted], reduction="sum")


def supervised(labels: torch.Tensor) -> int:
    """How many tokens of labels (pictures, tokens) `text_sum` adds up."""
    return int((labels[:, 1:] != IGNORED).sum())
