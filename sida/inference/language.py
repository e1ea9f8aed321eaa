"""The language model in passes that do no more than a verdict or the next token needs.

It runs the layers of transformers' `LlamaModel` with their weights. What is left out: the tokens
before the picture, whose keys and values are the same for every picture; in the last layer all
positions but those that are read; and copying keys and values at every token.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from transformers import LlamaModel
from transformers.models.llama.modeling_llama import rotate_half

__all__ = ["ROOM", "Past", "forward", "prefill"]

ROOM = 64
"""Slots for tokens to come that are added at once while a text is written."""


class Past:
    """Keys and values of some rows of equal length.

    Args:
        layers: (2, rows, heads, slots, head dim) for each layer; free slots are written to.
        length: slots that are filled, 0 before the first pass.
        room: slots that are added where one lacks; None keeps nothing of what comes.
    """

    def __init__(
        self, layers: Sequence[torch.Tensor | None], length: int, room: int | None = 0
    ) -> None:
        self.layers = list(layers)
        self.length = length
        self.room = room

    def part(self, row: int, length: int) -> "Past":
        """The first slots of one row; what comes after them is written elsewhere."""
        parts = [layer[:, row : row + 1, :, :length] for layer in self.layers if layer is not None]
        return Past(parts, length, ROOM)

    @staticmethod
    def together(parts: Sequence["Past"]) -> "Past":
        """Rows of one length as one, to go on from."""
        layers = [torch.cat(layer, dim=1) for layer in zip(*(p.layers for p in parts), strict=True)]
        return Past(layers, parts[0].length, ROOM)

    def extended(self, index: int, new: torch.Tensor) -> torch.Tensor:
        """All keys and values of a layer, with those of new tokens (2, rows, heads, tokens, dim).

        They are counted in `length` only once every layer has its own.
        """
        held = self.layers[index]
        if held is None:
            held = new[:, :, :, :0]
        _, rows, heads, tokens, dim = new.shape
        known = held[:, :, :, : self.length].expand(-1, rows, -1, -1, -1)
        if self.room is None:
            return torch.cat([known, new], dim=3)
        end = self.length + tokens
        if held.shape[3] < end:
            held = new.new_empty(2, rows, heads, end + self.room, dim)
            held[:, :, :, : self.length] = known
            self.layers[index] = held
        held[:, :, :, self.length : end] = new
        return held[:, :, :, :end]


def prefill(
    language: LlamaModel, embeds: torch.Tensor, past: Past, read: Sequence[int] | None = None
) -> torch.Tensor:
    """Hidden states (rows, read, dim) after the final norm, of rows without padding.

    Args:
        embeds: (rows, tokens, dim) after those of `past`, which is extended. A `past` of one row
            stands for that of all.
        read: positions in `embeds`; None reads all.
    """
    tokens = embeds.shape[1]
    end = past.length + tokens
    positions = torch.arange(past.length, end, device=embeds.device)[None]
    attended = torch.ones(tokens, end, dtype=torch.bool, device=embeds.device).tril(past.length)
    return forward(language, embeds, past, positions, attended, read)


def forward(
    language: LlamaModel,
    embeds: torch.Tensor,
    past: Past,
    positions: torch.Tensor,
    attended: torch.Tensor,
    read: Sequence[int] | None = None,
) -> torch.Tensor:
    """As `prefill`, where rows differ in what they attend to.

    Args:
        positions: (rows, tokens), of each token in its row; or (1, tokens).
        attended: bool, True where a token looks: (tokens, slots) or (rows, 1, tokens, slots).
    """
    rotation = language.rotary_emb(embeds, positions)
    hidden = embeds
    for index, layer in enumerate(language.layers):
        last = index == len(language.layers) - 1
        hidden = _layer(layer, hidden, rotation, past, index, attended, read if last else None)
    past.length += embeds.shape[1]
    normed: torch.Tensor = language.norm(hidden)
    return normed


def _layer(
    layer: Any,
    hidden: torch.Tensor,
    rotation: tuple[torch.Tensor, torch.Tensor],
    past: Past,
    index: int,
    attended: torch.Tensor,
    read: Sequence[int] | None,
) -> torch.Tensor:
    attention = layer.self_attn
    normed = layer.input_layernorm(hidden)
    keys = _rotated(_heads(attention.k_proj(normed), attention), *rotation)
    new = torch.stack([keys, _heads(attention.v_proj(normed), attention)])
    keys, values = past.extended(index, new)
    if read is not None:
        chosen = list(read)
        hidden, normed, attended = hidden[:, chosen], normed[:, chosen], attended[..., chosen, :]
        rotation = (rotation[0][:, chosen], rotation[1][:, chosen])
    query = _rotated(_heads(attention.q_proj(normed), attention), *rotation)
    mixed = F.scaled_dot_product_attention(
        query, keys, values, attn_mask=attended, enable_gqa=query.shape[1] != keys.shape[1]
    )
    hidden = hidden + attention.o_proj(mixed.transpose(1, 2).flatten(2))
    changed: torch.Tensor = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return changed


def _heads(projected: torch.Tensor, attention: Any) -> torch.Tensor:
    """(rows, tokens, heads x dim) -> (rows, heads, tokens, dim)."""
    heads: torch.Tensor = projected.unflatten(2, (-1, attention.head_dim)).transpose(1, 2)
    return heads


def _rotated(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions (Su et al., RoFormer, 2021)."""
    turned: torch.Tensor = heads * cos[:, None] + rotate_half(heads) * sin[:, None]
    return turned
