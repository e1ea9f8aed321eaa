"""The losses, each a sum over the items that it applies to; pure functions.

A picture without a true mask has no mask loss, one without a description no text loss; the
class does not matter. Sums and counts are kept apart, so that micro-batches and ranks add up to
exactly the loss of the whole batch.
"""

import torch
import torch.nn.functional as F

from sida.model.prompt import IGNORED

__all__ = ["altered_sum", "class_sum", "generated_sum", "mask_sums", "supervised", "text_sum"]


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
    # Means over the pixels of the picture: a window with more padding would else count for less.
    entropy = (entropy * inside).flatten(1).sum(1) / inside.flatten(1).sum(1)
    probability = (logits.sigmoid() * inside).flatten(1)
    target = (truth * inside).flatten(1)
    overlap = 2 * (probability / 1000 * target).sum(1)
    size = (probability / 1000).sum(1) + (target / 1000).sum(1)
    dice_losses = 1 - (overlap + 1e-6) / (size + 1e-6)
    return entropy.sum(), dice_losses[target.sum(1) > 0].sum()


def altered_sum(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Loss of maps of altered positions, summed over windows; padding is altered nowhere.

    Three parts: cross-entropy, in which the altered quarter of a window weighs at most six times as
    much as the rest, so that small regions count; half of Dice where something is altered; and
    0.3 times the cross-entropy of "something is altered" by the strongest 32nd of positions, which
    a map of photographs has to keep low everywhere.

    Args:
        logits: (windows, h, w).
        truth: (windows, h, w), the altered share of each position.
    """
    logits, truth = logits.float().flatten(1), truth.flatten(1)
    share = truth.mean(1, keepdim=True)
    weights = 1 + truth * ((0.25 / share.clamp_min(0.02)).clamp(1, 6) - 1)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, weights, reduction="none").mean(1)
    altered = (share[:, 0] > 0.002).float()
    probability = logits.sigmoid()
    overlap, size = (probability * truth).sum(1), (probability + truth).sum(1)
    dice_loss = 1 - (2 * overlap + 1) / (size + 1)
    strongest = logits.topk(max(1, logits.shape[1] // 32), 1).values.mean(1)
    anything = F.binary_cross_entropy_with_logits(strongest, altered, reduction="none")
    return (entropy + 0.5 * dice_loss * altered + 0.3 * anything).sum()


def generated_sum(logits: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of "generated" by each patch with its whole window, summed over windows.

    Args:
        logits: (windows, patches).
        generated: (windows,) 1 for synthetic pictures, 0 for photographs.
    """
    target = generated[:, None].expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    return entropy.mean(1).sum()


def text_sum(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Next-token cross-entropy, summed over supervised tokens.

    Args:
        logits: (pictures, tokens, vocabulary).
        labels: (pictures, tokens), the ids themselves, `IGNORED` where nothing is to be learned.
    """
    shifted, targets = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    # Selected first: float32 logits of every token and the whole vocabulary would take much memory.
    is_target = targets != IGNORED
    return F.cross_entropy(shifted[is_target].float(), targets[is_target], reduction="sum")


def supervised(labels: torch.Tensor) -> int:
    """Number of tokens of labels (pictures, tokens) that `text_sum` adds up."""
    return int((labels[:, 1:] != IGNORED).sum())
