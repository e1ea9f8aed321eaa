"""Where the grid of an earlier JPEG compression lies: tells what was cut off afterwards.

In the grid that was compressed, many coefficients are zero again; in all others hardly any. (The
idea of zeros as a vote: J. Luo, J. Huang and G. Qiu, "A novel method for detecting cropped and
recompressed image block", ICASSP 2007; T. Bianchi and A. Piva, "Detection of nonaligned double
JPEG compression based on integer periodicity maps", 2012.)
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sida.provenance.measured.blocks import Luma, coefficients

__all__ = ["Grid", "earlier_grid", "spread_after"]

ROUNDING = 0.4
"""Spread of a coefficient that was zero, after rounding of pixels and colours."""
LEAST_PIXELS = 64
MAX_BLOCKS = 2_000


class Grid(NamedTuple):
    """A grid: pixels of its first block that are cut off, and how far it stands out of others."""

    left: int
    top: int
    strength: float


def earlier_grid(luma: Luma, steps: NDArray[np.int64] | None = None) -> Grid | None:
    """The grid that stands out most; None for small pictures.

    Args:
        luma: (height, width), 0-255.
        steps: (64,) of a later compression, whose grid begins in the corner and does not count.
    """
    if min(luma.shape) < LEAST_PIXELS:
        return None
    spread = spread_after(steps)
    votes = np.empty((8, 8))
    for top in range(8):
        for left in range(8):
            values = coefficients(luma, left, top, MAX_BLOCKS).reshape(-1, 64)[:, 3:]
            votes[top, left] = np.exp(-0.5 * (values / spread) ** 2).mean()
    return _strongest(votes, excludes_zero=steps is not None)


def spread_after(steps: NDArray[np.int64] | None) -> float:
    """Spread that a later compression of other blocks gives a coefficient that was zero."""
    if steps is None:
        return ROUNDING
    return float(np.sqrt(ROUNDING**2 + np.median(steps) ** 2 / 12))


def _strongest(votes: NDArray[np.float64], excludes_zero: bool) -> Grid:
    """The place of most votes; with `excludes_zero` that of the corner does not count."""
    plain = votes.ravel()
    best = int(plain[1:].argmax()) + 1 if excludes_zero else int(plain.argmax())
    top, left = divmod(best, 8)
    background = np.delete(plain, [0, best] if excludes_zero else [best])
    # Medians, for neighbours of the true offset get votes of their own.
    middle = float(np.median(background))
    spread = 1.4826 * float(np.median(np.abs(background - middle))) + 1e-6
    return Grid(-left % 8, -top % 8, (float(plain[best]) - middle) / spread)
