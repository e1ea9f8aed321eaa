"""The four losses, each a mean over what it applies to in the whole batch; pure functions.

A picture without a true mask has no mask loss, one without a description no text loss; nothing
asks for the class. Sums and counts are kept apart, so that micro-batches and ranks add up to
exactly the loss of the whole batch.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from sida.model.prompt import IGNORED

__all__ = ["Term", "class_term", "mask_terms", "text_term"]


class Term(NamedTuple):
    """A sum over items, and how many there are."""

    total: torch.Tensor
    items: int

    def mean(self) -> torch.Tensor:
        """The sum over its items; zero without any."""
        return self.total / max(1, self.items)


def class_term(logits: torch.Tensor, labels: torch.Tensor) -> Term:
    """Cross-entropy of class logits (pictures, 3) with labels (pictures,)."""
    return Term(F.cross_entropy(logits.float(), labels, reduction="sum"), len(labels))


def mask_terms(
    logits: torch.Tensor, truth: torch.Tensor, inside: torch.Tensor
) -> tuple[Term, Term]:
    """Binary cross-entropy and Dice loss of masks.

    Cross-entropy is the mean over a mask's pixels. Dice, as published by LISA, is
    1 - (2 Σpt/1000 + ε) / (Σp/1000 + Σt/1000 + ε) with ε = 1e-6; it has no slope where the truth
    is empty, and such masks are not counted.

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
    filled = target.sum(1) > 0
    return Term(entropy.sum(), len(logits)), Term(dice[filled].sum(), int(filled.sum()))


def text_term(logits: torch.Tensor, labels: torch.Tensor) -> Term:
    """Next-token cross-entropy.

    Args:
        logits: (pictures, tokens, vocabulary).
        labels: (pictures, tokens), the ids themselves, `IGNORED` where nothing is to be learned.
    """
    shifted, targets = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    wanted = targets != IGNORED
    total = F.cross_entropy(shifted[wanted].float(), targets[wanted], reduction="sum")
    return Term(total, int(wanted.sum()))
