"""Greedy text that goes on from what the prefill has left in the cache."""

from collections.abc import Iterator, Sequence

import torch
from transformers import DynamicCache

from sida.model.sida import Sida

__all__ = ["generate", "part_of_cache"]


def part_of_cache(cache: DynamicCache, row: int, length: int) -> DynamicCache:
    """Keys and values of one picture's first `length` tokens; the given cache stays as it is."""
    part = DynamicCache()
    for index, layer in enumerate(cache.layers):
        keys, values = (
            layer.keys[row : row + 1, :, :length],
            layer.values[row : row + 1, :, :length],
        )
        part.update(keys, values, index)
    return part


@torch.inference_mode()
def generate(
    model: Sida, cache: DynamicCache, ids: Sequence[int], stops: frozenset[int], limit: int
) -> Iterator[int]:
    """Feed `ids`, then yield the likeliest next id until one of `stops`, which is yielded as well.

    Args:
        model: in evaluation mode.
        cache: of one picture, extended in place.
        ids: at least one.
        stops: ids that end the text.
        limit: the most ids that are yielded; a text that reaches it has not ended by itself.
            Where the model has fewer positions left, there are so many.
    """
    feed = list(ids)
    positions = model.config.language.max_position_embeddings
    left = positions - cache.get_seq_length() - len(feed) + 1  # the last id is yielded but not fed
    for _ in range(min(limit, left)):
        embeds = model.get_input_embeddings()(torch.tensor([feed], device=model.device))
        hidden = model.prefill(embeds, cache=cache)
        chosen = int(model.lm_head(hidden[0, -1]).argmax())
        yield chosen
        if chosen in stops:
            return
        feed = [chosen]
