"""Pictures that a detector of photographs was not made for, told by simple measurements."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["SMALLEST", "unsuitable"]

SMALLEST = 64
"""Pixels of the shorter side below which traces of any origin are too few."""
BLANK = 2.0
"""Standard deviation of grey levels below which nothing is shown."""
FLAT = 0.7
"""Share of pixels equal to their right neighbour; one photograph in fifty has more."""
ROWS = 4
"""Of so many rows of pixels one is looked at."""


def unsuitable(pixels: NDArray[np.uint8]) -> str | None:
    """A sentence on why a picture (height, width, 3) is no photograph to be judged; else None."""
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST:
        return f"the picture is {width} x {height} pixels: below {SMALLEST} there is little to see"
    rows = pixels[:: ROWS if height >= ROWS * SMALLEST else 1]
    if float(rows.mean(2).std()) < BLANK:
        return "the picture is blank: there is nothing to judge by"
    if float((rows[:, 1:] == rows[:, :-1]).all(-1).mean()) > FLAT:
        return (
            "the picture is mostly flat, as drawings, screenshots, documents and cut-outs are: the "
            "model was made for photographs"
        )
    return None
