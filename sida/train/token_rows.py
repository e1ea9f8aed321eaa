"""Rows of the language head for `[CLS]` and `[SEG]`, fitted so that texts contain the markers.

Published training freezes the language head, whose rows for added tokens are then random, so that
chat leaves the markers out. The next-token loss on the answer `[CLS] The image is …` (and `[SEG]`
where there is a mask) is convex in these rows, with all others fixed, and minimised by L-BFGS.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch

from sida.model import Sida
from sida.model.prompt import conversation
from sida.model.tokenizer import Tokenizer
from sida.train.lbfgs import minimize

__all__ = ["TokenRows", "fit_token_rows"]

TOKENS = ("[CLS]", "[SEG]")
PENALTY = 1e-4
"""Weight of the squared distance of the rows from their first values, beside the mean loss."""


class TokenRows(NamedTuple):
    """Rows of the language head.

    Attributes:
        ids: (rows,) of the tokens.
        weight: (rows, dim) float32.
        report: loss of a token, and share of tokens that greedy decoding would give, before and
            after.
    """

    ids: tuple[int, ...]
    weight: torch.Tensor
    report: dict[str, object]


def fit_token_rows(
    model: Sida, tokenizer: Tokenizer, answers: Mapping[str, torch.Tensor]
) -> TokenRows:
    """Fit the rows to answers of known classes.

    Args:
        answers: label -> hidden states (pictures, answer ids + 1, dim), beginning at the token
            before `[CLS]`; behind the last id any token will do but these two.
    """
    ids = tuple(tokenizer.added[token] for token in TOKENS)
    hidden, targets = [], []
    for label, states in answers.items():
        next_ids = [*conversation(tokenizer, label).answer_ids, -1]
        hidden.append(states.flatten(0, 1))
        targets += [ids.index(i) if i in ids else -1 for i in next_ids] * len(states)
    head = model.lm_head.weight.detach().float().cpu()
    return _fit(head, torch.cat(hidden), torch.tensor(targets), ids)


def _fit(
    head: torch.Tensor, hidden: torch.Tensor, targets: torch.Tensor, ids: tuple[int, ...]
) -> TokenRows:
    """Minimise the loss of `targets`: indices into `ids`, or -1 for all other tokens."""
    # All other rows are fixed: the sum and the largest of their logits are computed once.
    other_logits = hidden @ head.T
    other_logits[:, list(ids)] = -torch.inf
    other_sum, other_max = other_logits.logsumexp(1), other_logits.max(1).values
    before = head[list(ids)]
    rows = before.clone().requires_grad_(True)

    def loss_of(weight: torch.Tensor) -> torch.Tensor:
        # The loss of any other token differs from that of "none of these" by a constant.
        scores = torch.cat([hidden @ weight.T, other_sum[:, None]], dim=1).log_softmax(1)
        return -scores.gather(1, targets.remainder(len(ids) + 1)[:, None]).mean()

    def accuracy_of(weight: torch.Tensor) -> float:
        best, index = (hidden @ weight.T).max(1)
        predicted = torch.where(best > other_max, index, -1)
        return float((predicted == targets).float().mean())

    def penalized() -> torch.Tensor:
        return loss_of(rows) + PENALTY * (rows - before).square().sum()

    minimize([rows], penalized, iterations=200)
    after = rows.detach()
    report = {
        "tokens": len(targets),
        "loss": {"base": float(loss_of(before)), "adapter": float(loss_of(after))},
        "said": {"base": accuracy_of(before), "adapter": accuracy_of(after)},
    }
    return TokenRows(ids, after, report)
