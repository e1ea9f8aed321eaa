"""Rows of the language head for `[CLS]` and `[SEG]`, taught so that a model says them in its texts.

Published training freezes the language head, whose rows for added tokens are then random: chat
leaves out the markers. The next-token loss on the answer `[CLS] The image is …` (and `[SEG]` where
there is a mask) is convex in these rows, with all others fixed, and solved to the end.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from sida.model import Sida
from sida.model.prompt import conversation
from sida.model.tokenizer import Tokenizer

__all__ = ["Taught", "teach_rows"]

TOKENS = ("[CLS]", "[SEG]")
STRAY = 1e-4
"""How much the rows' squared distance from where they began counts beside the mean loss."""


class Taught(NamedTuple):
    """Rows of the language head.

    Attributes:
        ids: (rows,) of the tokens.
        weight: (rows, dim) float32.
        report: the loss a token, and the share of the tokens that would be said, before and after.
    """

    ids: tuple[int, ...]
    weight: torch.Tensor
    report: dict[str, Any]


def teach_rows(model: Sida, tokenizer: Tokenizer, answers: Mapping[str, torch.Tensor]) -> Taught:
    """Fit the rows to answers of known classes.

    Args:
        answers: label -> hidden states (pictures, answer ids + 1, dim), beginning at the token
            before `[CLS]`; behind the last id any token will do but these two.
    """
    ids = tuple(tokenizer.added[token] for token in TOKENS)
    hidden, wanted = [], []
    for label, states in answers.items():
        spoken = [*conversation(tokenizer, label).answer_ids, -1]
        hidden.append(states.flatten(0, 1))
        wanted += [ids.index(i) if i in ids else -1 for i in spoken] * len(states)
    return _fit(model.lm_head.weight.detach().float().cpu(), torch.cat(hidden), wanted, ids)


def _fit(
    head: torch.Tensor, hidden: torch.Tensor, wanted: list[int], ids: tuple[int, ...]
) -> Taught:
    """Minimise the loss of `wanted`: the place of a token in `ids`, or -1 for all others."""
    targets = torch.tensor(wanted)
    others = hidden @ head.T
    others[:, list(ids)] = -torch.inf
    rest, strongest = others.logsumexp(1), others.max(1).values
    begun = head[list(ids)]
    rows = begun.clone().requires_grad_(True)

    def loss_of(weight: torch.Tensor) -> torch.Tensor:
        # The loss of any other token differs from that of "none of these" by what is fixed.
        scores = torch.cat([hidden @ weight.T, rest[:, None]], dim=1).log_softmax(1)
        return -scores.gather(1, targets.remainder(len(ids) + 1)[:, None]).mean()

    def said(weight: torch.Tensor) -> float:
        best, place = (hidden @ weight.T).max(1)
        chosen = torch.where(best > strongest, place, -1)
        return float((chosen == targets).float().mean())

    optimizer = torch.optim.LBFGS([rows], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(rows) + STRAY * (rows - begun).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    after = rows.detach()
    report = {
        "tokens": len(targets),
        "loss": {"base": float(loss_of(begun)), "adapter": float(loss_of(after))},
        "said": {"base": said(begun), "adapter": said(after)},
    }
    return Taught(ids, after, report)
