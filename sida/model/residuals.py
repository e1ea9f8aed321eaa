"""What the native encoder sees beside colour: residuals, how strong they are, and JPEG's grid."""

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
        inside = valid_mask(valid, pixels.shape[-2:], 1, margin=1).to(pixels.dtype)
        # The border is none of a window's inside, so what it is padded with does not matter.
        residual = F.pad(torch.stack(second_differences(luma), dim=1), (1, 1, 1, 1)) * inside
        # Means of float32: squares of grey levels leave the range of float16.
        energy = F.avg_pool2d(residual.float().square(), 4)
        share = F.avg_pool2d(inside.float(), 4)
        levels = [
            torch.log(_around(energy, s) / _around(share, s).clamp_min(0.01) + 0.1) / 4
            for s in (3, 9)
        ]
        within = valid_mask(valid, pixels.shape[-2:], 1, margin=2)[:, 0].float()
        grids = torch.stack(
            [grid(luma.float(), within), grid(luma.float().mT, within.mT).mT], dim=1
        )
        bounded = residual / (residual.abs() + 3)
        return bounded, torch.cat([*levels, grids], dim=1).to(pixels.dtype)


def grid(luma: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """How much stronger steps between columns are where most of the window has them, mod 8.

    JPEG leaves steps at the borders of its blocks (Z. Fan and R. de Queiroz, 2003). What was pasted
    has its own grid, or none.

    Args:
        luma: (windows, height, width) in 0-255 up to a constant, sides multiples of 16.
        inside: the same shape, 0 in the padding and within two pixels of the border.

    Returns:
        (windows, height / 4, width / 4) grey levels, means over 36 pixels around each position.
    """
    steps = F.pad(luma.diff(dim=2).abs().clamp_max(2 * STEP), (1, 1))
    excess = steps[..., 1:] - 0.5 * (steps[..., :-1] + F.pad(steps[..., 2:], (0, 1)))
    excess = excess.clamp(-STEP, STEP) * inside
    phases = excess.unflatten(2, (-1, 8))
    main = phases.sum((1, 2)).argmax(1)
    chosen = phases.gather(3, main[:, None, None, None].expand(*phases.shape[:3], 1))[..., 0]
    others = (phases.sum(3) - chosen) / 7
    cells = F.avg_pool2d((chosen - others)[:, None], (4, 1))[:, 0]
    shares = F.avg_pool2d(inside[:, None], (4, 8))[:, 0]
    cells, shares = (x.repeat_interleave(2, dim=2)[:, None] for x in (cells, shares))
    return (_around(cells, 9) / _around(shares, 9).clamp_min(0.01))[:, 0]


def _around(x: torch.Tensor, side: int) -> torch.Tensor:
    """Mean over a square around each position, zeros beyond the border; rows, then columns."""
    rows = F.avg_pool2d(x, (side, 1), stride=1, padding=(side // 2, 0))
    return F.avg_pool2d(rows, (1, side), stride=1, padding=(0, side // 2))


def valid_mask(
    valid: torch.Tensor, size: tuple[int, ...] | torch.Size, stride: int, margin: int = 0
) -> torch.Tensor:
    """True (windows, 1, h, w) where a window has content, at this stride, less a margin."""
    height, width = size
    limits = (valid + stride - 1) // stride - margin
    rows = torch.arange(height, device=valid.device)
    columns = torch.arange(width, device=valid.device)
    inside_rows = (rows >= margin) & (rows < limits[:, :1])
    inside_columns = (columns >= margin) & (columns < limits[:, 1:])
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]
