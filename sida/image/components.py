"""Connected regions of a mask, in numpy alone and quick at 100 megapixels.

A mask is cut into runs (stretches of True along a row). Runs that touch, diagonals included, are
joined; the work grows with the number of runs, not of pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Component", "components"]

_MOST_RUNS = 2_000_000
"""Above this a mask is noise; every other pixel of it then says enough (seconds, not minutes)."""


@dataclass(frozen=True, slots=True)
class Component:
    """A region: `box` left, top, right, bottom (exclusive); `mean` of the values inside."""

    box: tuple[int, int, int, int]
    pixels: int
    mean: float


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs in reading order: `starts`, `ends` (exclusive) in the flattened mask; their `rows`."""

    starts: NDArray[np.intp]
    ends: NDArray[np.intp]
    rows: NDArray[np.intp]
    width: int

    @property
    def columns(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """First column and one past the last column of each run."""
        return self.starts - self.rows * self.width, self.ends - self.rows * self.width


def components(
    mask: NDArray[np.bool_], values: NDArray[np.floating] | None = None, at_most: int | None = None
) -> list[Component]:
    """Connected regions of `mask` (height, width), largest first; equal ones in reading order.

    `values` (height, width) gives their means; without it every mean is 1. A mask of pure noise is
    reduced first: boxes are then good to a few pixels and `pixels` is an estimate.
    """
    step, sampled, runs = 1, mask, _runs(mask)
    while len(runs.starts) > _MOST_RUNS:
        step *= 2
        sampled = mask[::step, ::step]
        runs = _runs(sampled)
    if not len(runs.starts):
        return []
    owner = _owners(len(runs.starts), *_touching(runs))
    lengths = runs.ends - runs.starts
    pixels = np.bincount(owner, weights=lengths)
    inside = lengths if values is None else _sums(runs, values[::step, ::step])
    means = np.bincount(owner, weights=inside) / pixels
    boxes = np.minimum(_boxes(runs, owner, len(pixels)) * step, [mask.shape[::-1] * 2])
    order = np.argsort(-pixels, kind="stable")[:at_most]
    return [
        Component((left, top, right, bottom), int(pixels[i]) * step**2, float(means[i]))
        for i, (left, top, right, bottom) in zip(order, boxes[order].tolist(), strict=True)
    ]


def _runs(mask: NDArray[np.bool_]) -> _Runs:
    """Where each row's stretches of True begin and end."""
    height, width = mask.shape
    padded = np.zeros((height, width + 1), bool)
    padded[:, :width] = mask
    flat = padded.ravel()  # a False after each row parts its last run from the next row's first
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat[0]:
        edges = np.concatenate(([0], edges))
    starts, ends = edges[::2], edges[1::2]
    rows = starts // (width + 1)
    return _Runs(starts - rows, ends - rows, rows, width)


def _touching(runs: _Runs) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs (run, run of the next row) that share an edge or a corner."""
    first, last = runs.columns
    stride = runs.width + 2  # keeps rows apart when rows and columns are put into one number
    begins, finishes = runs.rows * stride + first, runs.rows * stride + last
    low = np.searchsorted(finishes, begins + stride, side="left")
    high = np.searchsorted(begins, finishes + stride, side="right")
    count = np.maximum(high - low, 0)
    upper = np.repeat(np.arange(len(count)), count)
    offset = np.arange(len(upper)) - np.repeat(np.cumsum(count) - count, count)
    return upper, np.repeat(low, count) + offset


def _owners(count: int, left: NDArray[np.intp], right: NDArray[np.intp]) -> NDArray[np.intp]:
    """Component of each of `count` nodes, numbered 0, 1, … by their first node.

    Every root takes the smallest root it touches, then paths are cut short, until nothing changes.
    """
    parent = np.arange(count)
    while True:
        a, b = parent[left], parent[right]
        open_pairs = a != b
        if not open_pairs.any():
            return np.unique(parent, return_inverse=True)[1]
        left, right = left[open_pairs], right[open_pairs]
        a, b = a[open_pairs], b[open_pairs]
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(parent, shorter := parent[parent]):
            parent = shorter


def _sums(runs: _Runs, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sum of `values` in each run."""
    flat = np.append(np.ravel(values), np.zeros(1, values.dtype))  # an end may be the array's
    bounds = np.column_stack((runs.starts, runs.ends)).ravel()
    return np.add.reduceat(flat, bounds, dtype=np.float64)[::2]


def _boxes(runs: _Runs, owner: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """(count, 4) left, top, right, bottom of each component."""
    first, last = runs.columns
    boxes = np.empty((count, 4), np.intp)
    boxes[:, :2], boxes[:, 2:] = np.iinfo(np.intp).max, 0
    np.minimum.at(boxes[:, 0], owner, first)
    np.minimum.at(boxes[:, 1], owner, runs.rows)
    np.maximum.at(boxes[:, 2], owner, last)
    np.maximum.at(boxes[:, 3], owner, runs.rows + 1)
    return boxes
