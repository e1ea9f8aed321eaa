"""The quality of an earlier JPEG compression, from what it left in the coefficients of a later one.

A coefficient that was once rounded to multiples of one step and then to multiples of another has a
histogram with gaps and peaks at known places (J. Lukáš and J. Fridrich, "Estimation of primary
quantization matrix in double compressed JPEG images", 2003). Here the likelihood of each quality's
whole table is compared with that of no earlier compression. What the histograms would be without
it is taken from the same picture, on grids that no compression used.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sida.image.jpeg import quality_tables
from sida.provenance.measured.blocks import Luma, coefficients
from sida.provenance.measured.grid import ROUNDING

__all__ = ["Previous", "previous_quality"]

QUALITIES = range(30, 100)
LEAST_BLOCKS = 100
LEAST_VALUES = 20  # that are not zero, of a frequency: zeros fit any coarse step
REACH = 160  # largest coefficient that is looked at
DOUBT = 0.03  # share of coefficients that behave otherwise, as in clipped blocks

# The lowest frequencies but the mean; high ones are nearly all zero.
_POSITIONS = [
    (row, column) for row in range(6) for column in range(6) if 1 <= row + column <= 5
]  # fmt: skip


class Previous(NamedTuple):
    """An earlier compression; `evidence` is in nats a block above none."""

    quality: int
    evidence: float


def previous_quality(
    luma: Luma,
    left: int = 0,
    top: int = 0,
    steps: NDArray[np.int64] | None = None,
    rounding: float = ROUNDING,
) -> Previous | None:
    """The libjpeg quality that fits best; None where the picture is too small.

    Args:
        luma: (height, width), 0-255.
        left, top: where the grid of the earlier compression begins.
        steps: (64,) of the later compression on the same grid, row by row; None if there was none.
        rounding: spread of the coefficients about their multiples.
    """
    coefficient_values = coefficients(luma, left, top)
    if len(coefficient_values) < LEAST_BLOCKS:
        return None
    # Blocks across the earlier grid show how coefficients spread that it never quantized.
    other = np.concatenate([
        coefficients(luma, (left + dx) % 8, (top + dy) % 8, 3_000)
        for dx in (3, 4, 5) for dy in (3, 4, 5)
    ])  # fmt: skip
    gains = np.zeros(len(QUALITIES))
    tables = np.stack([quality_tables(quality)[0].reshape(8, 8) for quality in QUALITIES])
    for row, column in _POSITIONS:
        later = 1 if steps is None else int(steps.reshape(8, 8)[row, column])
        # In units of the later step, which is all that the later compression left of them.
        values = np.rint(coefficient_values[:, row, column] / later).astype(int)
        values = values[np.abs(values) * later <= REACH]
        if np.count_nonzero(values) < LEAST_VALUES:
            continue
        shape = _shape(other[:, row, column])
        gains += _gains(values, shape, later, tables[:, row, column], rounding)
    best = int(gains.argmax())
    return Previous(QUALITIES[best], float(gains[best] / len(coefficient_values)))


def _gains(
    values: NDArray[np.int64],
    shape: NDArray[np.float64],
    later: int,
    steps: NDArray[np.int64],
    rounding: float,
) -> NDArray[np.float64]:
    """Log-likelihood of each earlier step above none, of `values` in multiples of `later`."""
    levels = REACH // later
    counts = np.bincount(values + levels, minlength=2 * levels + 1)
    alone = _binned(shape, later)
    by_step = {}
    for step in set(steps.tolist()):
        expected = (1 - DOUBT) * _twice(shape, step, later, rounding) + DOUBT * alone
        by_step[step] = float(counts @ (np.log(expected) - np.log(alone)))
    return np.array([by_step[step] for step in steps.tolist()])


FINE = 4
"""Parts of a unit in which densities are written down."""
LENGTH = 2 * REACH * FINE + 1
"""Places of a density, from -REACH to REACH."""


def _shape(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Density, smoothed and symmetric: what no compression had touched."""
    edges = (np.arange(LENGTH + 1) - LENGTH / 2) / FINE
    counts, _ = np.histogram(values.clip(-REACH, REACH), edges)
    mean = float(np.abs(values).mean())
    smooth = np.convolve(counts + counts[::-1], _bell(max(1.0, 0.1 * mean) * FINE), "same")
    far = np.exp(-np.abs(np.arange(LENGTH) - LENGTH // 2) / (FINE * (mean + 1)))
    density: NDArray[np.float64] = 0.97 * smooth / smooth.sum() + 0.03 * far / far.sum()
    return density


def _bell(width: float) -> NDArray[np.float64]:
    positions = np.arange(-int(4 * width) - 1, int(4 * width) + 2)
    bell = np.exp(-0.5 * (positions / width) ** 2)
    return np.asarray(bell / bell.sum())


@cache
def _bins(step: int) -> NDArray[np.int64]:
    """(LENGTH,) which multiple of `step` is nearest to each place, the first being 0."""
    highest = REACH // step
    positions = (np.arange(LENGTH) - LENGTH // 2) / FINE
    return np.asarray(np.rint(positions / step).astype(int).clip(-highest, highest) + highest)


def _binned(density: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Mass of each multiple of `step` from -REACH to REACH."""
    mass = np.bincount(_bins(step), weights=density) + 1e-9
    return np.asarray(mass / mass.sum())


def _twice(
    density: NDArray[np.float64], first: int, later: int, rounding: float
) -> NDArray[np.float64]:
    """Mass of each multiple of `later` where values were multiples of `first` before."""
    reach = REACH // first
    lattice = np.zeros(LENGTH)
    lattice[LENGTH // 2 + FINE * first * np.arange(-reach, reach + 1)] = _binned(density, first)
    return _binned(np.convolve(lattice, _bell(rounding * FINE), "same"), later)
