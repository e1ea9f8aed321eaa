"""The language model in forward passes that do no more than a verdict or the next token needs.

It runs the layers of transformers' `LlamaModel` with their weights. Left out are the tokens before
the picture, whose keys and values are the same for every picture; in the last layer all positions
but those that are read; and copying keys and values at every token.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from transformers import LlamaModel
from transformers.models.llama.modeling_llama import rotate_half

__all__ = ["SPARE_SLOTS", "KVCache", "forward", "prefill"]

SPARE_SLOTS = 64
"""Slots for tokens to come that are added at once while a text is written."""


class KVCache:
    """Keys and values of some rows of equal length.

    Args:
        layers: (2, rows, heads, slots, head dim) for each layer; free slots are written to.
        length: slots that are filled, 0 before the first pass.
        spare: slots that are added where there are too few; None keeps nothing of new tokens.
    """

    def __init__(
        self, layers: Sequence[torch.Tensor | None], length: int, spare: int | None = 0
    ) -> None:
        self.layers = list(layers)
        self.length = length
        self.spare = spare

    def row(self, index: int, length: int) -> "KVCache":
        """The first slots of one row; later ones are written elsewhere."""
        # A view: the row shares its memory until `extend` finds too few slots and copies it, so a
        # row that is explained costs nothing before its first token.
        layers = [
            layer[:, index : index + 1, :, :length] for layer in self.layers if layer is not None
        ]
        return KVCache(layers, length, SPARE_SLOTS)

    @staticmethod
    def concatenate(caches: Sequence["KVCache"]) -> "KVCache":
        """Rows of one length as one cache, to go on from."""
        pairs = zip(*(cache.layers for cache in caches), strict=True)
        layers = [torch.cat(layer, dim=1) for layer in pairs]
        return KVCache(layers, caches[0].length, SPARE_SLOTS)

    def extend(self, index: int, new: torch.Tensor) -> torch.Tensor:
        """All keys and values of a layer, with those of new tokens (2, rows, heads, tokens, dim).

        They are counted in `length` only once every layer has its own.
        """
        layer = self.layers[index]
        if layer is None:
            layer = new[:, :, :, :0]
        _, rows, heads, tokens, dim = new.shape
        # One row stands for all: the prefix of every picture is the same.
        filled = layer[:, :, :, : self.length].expand(-1, rows, -1, -1, -1)
        if self.spare is None:
            return torch.cat([filled, new], dim=3)
        end = self.length + tokens
        if layer.shape[3] < end:
            layer = new.new_empty(2, rows, heads, end + self.spare, dim)
            layer[:, :, :, : self.length] = filled
            self.layers[index] = layer
        layer[:, :, :, self.length : end] = new
        return layer[:, :, :, :end]


def prefill(
    language: LlamaModel, embeds: torch.Tensor, cache: KVCache, read: Sequence[int] | None = None
) -> torch.Tensor:
    """Hidden states (rows, read, dim) after the final norm, of rows without padding.

    Args:
        embeds: (rows, tokens, dim) after those of `cache`, which is extended. A cache of one row
            stands for that of all.
        read: positions in `embeds`; None reads all.
    """
    tokens = embeds.shape[1]
    end = cache.length + tokens
    positions = torch.arange(cache.length, end, device=embeds.device)[None]
    mask = torch.ones(tokens, end, dtype=torch.bool, device=embeds.device).tril(cache.length)
    return forward(language, embeds, cache, positions, mask, read)


def forward(
    language: LlamaModel,
    embeds: torch.Tensor,
    cache: KVCache,
    positions: torch.Tensor,
    attention_mask: torch.Tensor,
    read: Sequence[int] | None = None,
) -> torch.Tensor:
    """As `prefill`, where rows differ in what they attend to.

    Args:
        positions: (rows, tokens), of each token in its row; or (1, tokens).
        attention_mask: bool, True where a token attends: (tokens, slots) or
            (rows, 1, tokens, slots).
    """
    rotation = language.rotary_emb(embeds, positions)
    hidden = embeds
    for index, layer in enumerate(language.layers):
        # Up to the last layer every position is needed, as keys and values of the next.
        last = index == len(language.layers) - 1
        hidden = _layer(
            layer, hidden, rotation, cache, index, attention_mask, read if last else None
        )
    cache.length += embeds.shape[1]
    normed: torch.Tensor = language.norm(hidden)
    return normed


def _layer(
    layer: Any,
    hidden: torch.Tensor,
    rotation: tuple[torch.Tensor, torch.Tensor],
    cache: KVCache,
    index: int,
    attention_mask: torch.Tensor,
    read: Sequence[int] | None,
) -> torch.Tensor:
    attention = layer.self_attn
    normed = layer.input_layernorm(hidden)
    keys = _rotated(_heads(attention.k_proj(normed), attention), *rotation)
    new = torch.stack([keys, _heads(attention.v_proj(normed), attention)])
    keys, values = cache.extend(index, new)
    if read is not None:
        rows = list(read)
        hidden, normed, attention_mask = (
            hidden[:, rows],
            normed[:, rows],
            attention_mask[..., rows, :],
        )
        rotation = (rotation[0][:, rows], rotation[1][:, rows])
    query = _rotated(_heads(attention.q_proj(normed), attention), *rotation)
    mixed = F.scaled_dot_product_attention(
        query, keys, values, attn_mask=attention_mask, enable_gqa=query.shape[1] != keys.shape[1]
    )
    hidden = hidden + attention.o_proj(mixed.transpose(1, 2).flatten(2))
    output: torch.Tensor = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return output


def _heads(projected: torch.Tensor, attention: Any) -> torch.Tensor:
    """(rows, tokens, heads x dim) -> (rows, heads, tokens, dim)."""
    heads: torch.Tensor = projected.unflatten(2, (-1, attention.head_dim)).transpose(1, 2)
    return heads


def _rotated(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions (Su et al., RoFormer, 2021)."""
    turned: torch.Tensor = heads * cos[:, None] + rotate_half(heads) * sin[:, None]
    return turned
