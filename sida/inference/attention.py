"""The attention of SAM's image encoder, with its relative positions, in fused calls.

transformers adds up one matrix of biases, heads x 4096 x 4096, for the whole picture: 400 MB at 6
heads in float32, written and read again. On a CPU here it is made for one block of queries and
one head at a time, so that it never leaves the cache. `docs/performance.md` has what that gives.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers.models.sam.modeling_sam import SamMLPBlock, SamVisionAttention, SamVisionLayer

__all__ = ["Attention", "Mlp", "fuse"]

QUERIES = 1024
"""Positions a block on a CPU: below 768 torch works in smaller pieces, and more leave the cache."""
BIAS_BYTES = 2**28
"""Of the biases that are made at once elsewhere."""
BLOCK_PARTS = 4
"""Parts that torch makes of such a block to share it among threads."""


class Attention(nn.Module):
    """Takes the place of transformers' attention of a layer, and has its weights and their names.

    Args:
        attention: of a layer with windows or without.
    """

    def __init__(self, attention: SamVisionAttention) -> None:
        super().__init__()
        self.heads: int = attention.num_attention_heads
        self.qkv, self.proj = attention.qkv, attention.proj
        self.rel_pos_h, self.rel_pos_w = attention.rel_pos_h, attention.rel_pos_w

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, None]:
        """(windows, height, width, dim) -> the same, and no weights of attention."""
        size = hidden_states.shape[1:3]
        query, keys, values = (
            part.transpose(1, 2)
            for part in self.qkv(hidden_states)
            .flatten(1, 2)
            .unflatten(-1, (3, self.heads, -1))
            .unbind(2)
        )
        grid = query.unflatten(2, size)
        down = torch.einsum("bnhwc,hkc->bnhwk", grid, _distances(self.rel_pos_h, size[0]))
        across = torch.einsum("bnhwc,wkc->bnhwk", grid, _distances(self.rel_pos_w, size[1]))
        attended = attend(query, keys, values, down, across)
        return self.proj(attended.transpose(1, 2).flatten(2).unflatten(1, size)), None


def attend(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    down: torch.Tensor,
    across: torch.Tensor,
) -> torch.Tensor:
    """Attention over a grid with decomposed relative positions (Li et al., MViTv2, 2022).

    Args:
        query, keys, values: (windows, heads, height x width, dim).
        down: (windows, heads, height, width, height) added where a query attends to a row.
        across: (windows, heads, height, width, width) added where it attends to a column.

    Returns:
        (windows, heads, height x width, dim).
    """
    windows, heads, length, _ = query.shape
    height, width = down.shape[2:4]
    if length <= QUERIES:
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=_bias(down, across))
    if query.device.type == "cpu":
        rows, head_count = max(1, QUERIES // width), max(1, torch.get_num_threads() // BLOCK_PARTS)
    else:
        head_bytes = windows * length**2 * query.element_size()
        rows, head_count = height, max(1, BIAS_BYTES // head_bytes)
    attended = torch.empty_like(query)
    # Overwritten by each block: memory that the system must hand out again costs more than this.
    biases = query.new_empty(windows, min(head_count, heads), rows, width, height, width)
    for head in range(0, heads, head_count):
        group = slice(head, head + head_count)
        for top in range(0, height, rows):
            block = slice(top, top + rows)
            queries = slice(top * width, (top + rows) * width)
            bias = _bias(down[:, group, block], across[:, group, block], biases)
            attended[:, group, queries] = F.scaled_dot_product_attention(
                query[:, group, queries], keys[:, group], values[:, group], attn_mask=bias
            )
    return attended


def _bias(
    down: torch.Tensor, across: torch.Tensor, out: torch.Tensor | None = None
) -> torch.Tensor:
    """(windows, heads, queries, keys), in the memory of `out` unless gradients are wanted."""
    if out is None or torch.is_grad_enabled():
        bias = down[..., :, None] + across[..., None, :]
    else:
        bias = out[:, : down.shape[1], : down.shape[2]]
        torch.add(down[..., :, None], across[..., None, :], out=bias)
    return bias.flatten(2, 3).flatten(3)


class Mlp(nn.Module):
    """Takes the place of transformers' feed-forward part; on a CPU in pieces that stay in cache."""

    def __init__(self, mlp: SamMLPBlock) -> None:
        super().__init__()
        self.lin1, self.lin2, self.act = mlp.lin1, mlp.lin2, mlp.act

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(windows, height, width, dim) -> the same."""
        tokens = hidden_states.flatten(0, 2)
        size = QUERIES if tokens.device.type == "cpu" else len(tokens)
        parts = [self.lin2(self.act(self.lin1(part))) for part in tokens.split(size)]
        return torch.cat(parts).view_as(hidden_states)


def _distances(table: torch.Tensor, size: int) -> torch.Tensor:
    """Rows of the table (2 size - 1, dim) for each pair of positions (size, size, dim)."""
    positions = torch.arange(size, device=table.device)
    return table[positions[:, None] - positions[None, :] + size - 1]


def fuse(model: nn.Module) -> None:
    """Give every layer of SAM's image encoder in a model these parts."""
    for layer in model.modules():
        if isinstance(layer, SamVisionLayer) and isinstance(layer.attn, SamVisionAttention):
            layer.attn, layer.mlp = Attention(layer.attn), Mlp(layer.mlp)
