"""Where the grid of an earlier JPEG compression lies: tells what was cut off afterwards.

In the grid that was compressed, many coefficients are zero again; in all others hardly any. (The
idea of zeros as a vote: J. Luo, J. Huang and G. Qiu, "A novel method for detecting cropped and
recompressed image block", ICASSP 2007; T. Bianchi and A. Piva, "Detection of nonaligned double
JPEG compression based on integer periodicity maps", 2012.)
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sida.evidence.blocks import Luma, coefficients

__all__ = ["Grid", "grid_votes", "strongest"]

SPREAD = 0.4  # of a coefficient that was zero, after rounding of pixels and colours
LEAST_PIXELS = 64
MOST = 2_000


class Grid(NamedTuple):
    """A grid: pixels of its first block that are cut off, and how far it stands out of others."""

    left: int
    top: int
    strength: float


def grid_votes(luma: Luma) -> NDArray[np.float64] | None:
    """(8, 8) share of zeros by (top, left) where the grid begins; None for small pictures."""
    if min(luma.shape) < LEAST_PIXELS:
        return None
    votes = np.empty((8, 8))
    for top in range(8):
        for left in range(8):
            found = coefficients(luma, left, top, MOST).reshape(-1, 64)[:, 3:]
            votes[top, left] = np.exp(-0.5 * (found / SPREAD) ** 2).mean()
    return votes


def strongest(votes: NDArray[np.float64], without: tuple[int, int] | None = None) -> Grid:
    """The grid with most votes; `without` is a (left, top) that is known and does not count.

    Its strength is in spreads of all other grids.
    """
    left_out = np.zeros((8, 8), bool)
    if without is not None:
        left_out[:, without[0]] = left_out[without[1], :] = True
    candidates = np.where(left_out, -np.inf, votes)
    top, left = np.unravel_index(int(candidates.argmax()), (8, 8))
    others = votes[~left_out & (np.arange(64).reshape(8, 8) != 8 * top + left)]
    spread = float(1.4826 * np.median(np.abs(others - np.median(others)))) + 1e-6
    strength = (float(votes[top, left]) - float(np.median(others))) / spread
    return Grid(int(-left % 8), int(-top % 8), strength)
