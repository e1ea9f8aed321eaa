"""Inputs of the native encoder beside colour: residuals, how strong they are, and JPEG's grid."""

import torch
import torch.nn.functional as F
from torch import nn

from sida.model.statistics import LUMA, second_differences

__all__ = ["Residuals", "valid_mask"]

STEP = 6.0
"""Grey levels; a larger step is an edge of what is shown, not of a block."""


class Residuals(nn.Module):
    """Second differences of luma along rows, columns and both, how strong they are, and the grid.

    x / (|x| + 3) keeps faint noise apart from edges.
    """

    filters = 3
    levels = 8
    """Maps: noise of each filter over 12 and over 36 pixels, grid along rows and columns."""

    def forward(
        self, pixels: torch.Tensor, valid: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Bounded residuals, and the maps of what is around each position.

        Args:
            pixels: (windows, 3, height, width) in -1..1, sides multiples of 16.
            valid: (windows, 2) height and width of what is inside.

        Returns:
            (windows, 3, height, width) in -1..1, and (windows, 8, height / 4, width / 4).
        """
        luma = torch.einsum("c,nchw->nhw", 127.5 * LUMA.to(pixels), pixels)
        rows, columns = _sides(valid, luma.shape[1:], margin=1)
        # The border is none of a window's inside, so what it is padded with does not matter.
        residual = F.pad(torch.stack(second_differences(luma), dim=1), (1, 1, 1, 1))
        residual = residual * (rows[:, :, None] * columns[:, None, :]).to(pixels.dtype)[:, None]
        # Means of float32: squares of grey levels leave the range of float16.
        energy = _cells(residual.float().square(), 4, 4)
        inside = _cells(rows, 4), _cells(columns, 4)
        levels = [torch.log(_mean_around(energy, inside, side) + 0.1) / 4 for side in (3, 9)]
        grids = torch.stack([grid(luma.float(), valid), grid(luma.float().mT, valid.flip(1)).mT], 1)
        bounded = residual / (residual.abs() + 3)
        return bounded, torch.cat([*levels, grids], dim=1).to(pixels.dtype)


def grid(luma: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """How much stronger steps between columns are where most of the window has them, mod 8.

    JPEG leaves steps at the borders of its blocks (Z. Fan and R. de Queiroz, 2003). What was pasted
    has its own grid, or none.

    Args:
        luma: (windows, height, width) in 0-255 up to a constant, sides multiples of 16.
        valid: (windows, 2) height and width of what is inside; its border does not count.

    Returns:
        (windows, height / 4, width / 4) grey levels, means over 36 pixels around each position.
    """
    rows, columns = _sides(valid, luma.shape[1:], margin=2)
    # A border of blocks stands out from the steps beside it; a gradient in the scene does not.
    steps = F.pad(luma.diff(dim=2).abs().clamp_max(2 * STEP), (1, 1))
    excess = steps[..., 1:] - 0.5 * (steps[..., :-1] + F.pad(steps[..., 2:], (0, 1)))
    excess = excess.clamp(-STEP, STEP) * (rows[:, :, None] * columns[:, None, :])
    phases = excess.unflatten(2, (-1, 8))
    # The grid of a window is the phase that is strongest over all of it.
    main = phases.sum((1, 2)).argmax(1)
    main_steps = phases.gather(3, main[:, None, None, None].expand(*phases.shape[:3], 1))[..., 0]
    other_steps = (phases.sum(3) - main_steps) / 7
    cells = _cells(main_steps - other_steps, 4, 1).repeat_interleave(2, dim=2)
    inside = _cells(rows, 4), _cells(columns, 8).repeat_interleave(2, dim=1)
    return _mean_around(cells, inside, 9)


def _sides(valid: torch.Tensor, size: torch.Size, margin: int) -> tuple[torch.Tensor, torch.Tensor]:
    """1 for rows (windows, height) and columns (windows, width) inside, less a margin, else 0."""
    rows, columns = (
        _within(valid[:, i : i + 1] - margin, length, margin) for i, length in enumerate(size)
    )
    return rows.float(), columns.float()


def _cells(x: torch.Tensor, *lengths: int) -> torch.Tensor:
    """Means over cells of these lengths along the last dimensions."""
    for dim, length in zip(range(-len(lengths), 0), lengths, strict=True):
        x = x.unflatten(dim, (-1, length)).mean(dim)
    return x


def _mean_around(
    x: torch.Tensor, inside: tuple[torch.Tensor, torch.Tensor], side: int
) -> torch.Tensor:
    """Mean of what is inside a square around each position.

    Args:
        x: (windows, …, h, w), 0 outside.
        inside: the shares of rows (windows, h) and of columns (windows, w) that are inside.
    """
    around = [_band(length, side, x) for length in x.shape[-2:]]
    with torch.autocast(x.device.type, enabled=False):  # products would leave float16's range
        rows, columns = (share @ band for share, band in zip(inside, around, strict=True))
        sums = around[0] @ x @ around[1]
    # Where nothing is inside the sum is 0 as well, and stays so.
    share = (rows[:, :, None] * columns[:, None, :]).clamp_min(0.01)
    return sums / share.reshape(len(x), *(1,) * (x.ndim - 3), *share.shape[1:])


def _band(length: int, side: int, like: torch.Tensor) -> torch.Tensor:
    """(length, length); multiplied with it, each position becomes the mean over `side` of them."""
    positions = torch.arange(length, device=like.device)
    return ((positions - positions[:, None]).abs() <= side // 2).to(like) / side


def valid_mask(
    valid: torch.Tensor, size: tuple[int, ...] | torch.Size, stride: int, margin: int = 0
) -> torch.Tensor:
    """True (windows, 1, h, w) where a window has content, at this stride, less a margin."""
    limits = (valid + stride - 1) // stride - margin
    rows, columns = (_within(limits[:, i : i + 1], length, margin) for i, length in enumerate(size))
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _within(limits: torch.Tensor, length: int, margin: int) -> torch.Tensor:
    """True (windows, length) from the margin up to each window's limit (windows, 1)."""
    positions = torch.arange(length, device=limits.device)
    return (positions >= margin) & (positions < limits)
