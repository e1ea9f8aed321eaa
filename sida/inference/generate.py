"""Greedy text that goes on from the cache of a prefill."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F

from sida.inference.llama import KVCache, forward
from sida.model.sida import Sida

__all__ = ["generate", "generate_batch"]


def generate(
    model: Sida, cache: KVCache, ids: Sequence[int], stops: frozenset[int], limit: int
) -> Iterator[int]:
    """Feed `ids`, then yield the likeliest next id until one of `stops`, which is yielded as well.

    For one picture; the arguments are those of `generate_batch`.
    """
    for (next_id,) in generate_batch(model, cache, [ids], stops, limit):
        if next_id is not None:
            yield next_id


@torch.inference_mode()
def generate_batch(
    model: Sida, cache: KVCache, ids: Sequence[Sequence[int]], stops: frozenset[int], limit: int
) -> Iterator[list[int | None]]:
    """Feed each row its ids, then yield the likeliest next id of every row until all have ended.

    Shorter rows are padded between the cache and their ids; nothing attends to the padding, and
    positions are counted without it.

    Args:
        model: in evaluation mode.
        cache: of these rows, extended in place.
        ids: at least one a row.
        stops: ids that end a row; they are yielded as well. Behind them comes None.
        limit: the most ids a row; a text that reaches it has not ended by itself. Where the model
            has fewer positions left, there are so many.
    """
    device, start, longest = model.device, cache.length, max(map(len, ids))
    # Padding is on the left, so that the last column is the last id of every row.
    padding = torch.tensor([longest - len(row) for row in ids], device=device)[:, None]
    tokens = torch.tensor([[0] * (longest - len(row)) + list(row) for row in ids], device=device)
    slots = torch.arange(start + longest, device=device)
    positions = (slots[start:] - padding).clamp_min(0)
    visible = (slots < start) | (slots >= start + padding)
    attention_mask = visible[:, None, None] & (slots <= slots[start:, None])
    free = model.config.language.max_position_embeddings - start
    remaining = [min(limit, free - len(row) + 1) for row in ids]  # the last id is not fed
    embedding = model.get_input_embeddings()
    # Rows that have ended are fed on, unread: taking them out would copy the cache of the others.
    while any(count > 0 for count in remaining):
        hidden = forward(
            model.language, embedding(tokens), cache, positions, attention_mask, read=[-1]
        )
        likeliest = model.lm_head(hidden[:, -1]).argmax(-1)
        next_ids = [
            next_id if count > 0 else None
            for next_id, count in zip(likeliest.tolist(), remaining, strict=True)
        ]
        yield next_ids
        remaining = [
            0 if next_id in stops else count - 1
            for next_id, count in zip(next_ids, remaining, strict=True)
        ]
        tokens, positions = likeliest[:, None], positions[:, -1:] + 1
        visible = F.pad(visible, (0, 1), value=True)
        attention_mask = visible[:, None, None]
