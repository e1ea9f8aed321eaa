"""Greedy text that goes on from what the prefill has left."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F

from sida.inference.language import Past, forward
from sida.model.sida import Sida

__all__ = ["generate", "generate_together"]


def generate(
    model: Sida, past: Past, ids: Sequence[int], stops: frozenset[int], limit: int
) -> Iterator[int]:
    """Feed `ids`, then yield the likeliest next id until one of `stops`, which is yielded as well.

    For one picture; the arguments are those of `generate_together`.
    """
    for (chosen,) in generate_together(model, past, [ids], stops, limit):
        if chosen is not None:
            yield chosen


@torch.inference_mode()
def generate_together(
    model: Sida, past: Past, ids: Sequence[Sequence[int]], stops: frozenset[int], limit: int
) -> Iterator[list[int | None]]:
    """Feed each row its ids, then yield the likeliest next id of every row until all have ended.

    Shorter rows are padded between what is known and their ids; nothing looks at the padding, and
    positions are counted without it.

    Args:
        model: in evaluation mode.
        past: of these rows, extended in place.
        ids: at least one a row.
        stops: ids that end a row; they are yielded as well. Behind them comes None.
        limit: the most ids a row; a text that reaches it has not ended by itself. Where the model
            has fewer positions left, there are so many.
    """
    device, begun, longest = model.device, past.length, max(map(len, ids))
    lacks = torch.tensor([longest - len(row) for row in ids], device=device)[:, None]
    feed = torch.tensor([[0] * (longest - len(row)) + list(row) for row in ids], device=device)
    slots = torch.arange(begun + longest, device=device)
    positions = (slots[begun:] - lacks).clamp_min(0)
    shown = (slots < begun) | (slots >= begun + lacks)
    attended = shown[:, None, None] & (slots <= slots[begun:, None])
    room = model.config.language.max_position_embeddings - begun
    left = [min(limit, room - len(row) + 1) for row in ids]  # the last id is not fed
    words = model.get_input_embeddings()
    while any(count > 0 for count in left):
        hidden = forward(model.language, words(feed), past, positions, attended, read=[-1])
        chosen = model.lm_head(hidden[:, -1]).argmax(-1)
        said = [
            one if count > 0 else None for one, count in zip(chosen.tolist(), left, strict=True)
        ]
        yield said
        left = [0 if one in stops else count - 1 for one, count in zip(said, left, strict=True)]
        feed, positions = chosen[:, None], positions[:, -1:] + 1
        shown = F.pad(shown, (0, 1), value=True)
        attended = shown[:, None, None]
