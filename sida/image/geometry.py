"""Where something lies in a picture, in words, and how much of it that is."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sida.image.components import components

__all__ = ["POSITIONS", "Box", "Position", "area", "bounding_box", "position", "position_of"]

Position = Literal[
    "upper left", "upper centre", "upper right",
    "middle left", "middle centre", "middle right",
    "lower left", "lower centre", "lower right",
]  # fmt: skip
POSITIONS: tuple[Position, ...] = get_args(Position)

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; right and bottom exclusive."""


def position_of(box: Box, width: int, height: int) -> Position:
    """The cell of a 3 x 3 grid over the picture that holds the middle of the box."""
    left, top, right, bottom = box
    column = min(2, 3 * (left + right) // (2 * width))
    row = min(2, 3 * (top + bottom) // (2 * height))
    return POSITIONS[3 * row + column]


def position(mask: NDArray[np.bool_]) -> Position | None:
    """Where the largest connected region of a (height, width) mask lies; None for an empty one."""
    regions = components(mask, at_most=1)
    height, width = mask.shape
    return position_of(regions[0].box, width, height) if regions else None


def area(mask: NDArray[np.bool_]) -> float:
    """The fraction of the picture that a (height, width) mask covers; 0 without any pixel."""
    return float(np.count_nonzero(mask) / mask.size) if mask.size else 0.0


def bounding_box(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box around all of a (height, width) mask; None for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
