"""The description of a forged picture: what was done, and what is measured in the stored pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sida.explanation.cues import Cue, measure
from sida.explanation.wording import describe
from sida.image.geometry import area, position

__all__ = ["Described", "describe_forged"]


@dataclass(frozen=True)
class Described:
    """The text, and the measurements that it leans on; without a mask there are none."""

    text: str
    cues: Sequence[Cue] = ()
    position: str | None = None
    area: float | None = None


def describe_forged(
    label: str,
    pixels: NDArray[np.uint8],
    mask: NDArray[np.bool_] | None,
    content: str | None,
    rng: np.random.Generator,
) -> Described:
    """Measure and write.

    Args:
        pixels: (height, width, 3) as stored, after all post-processing.
        mask: (height, width) bool in the same pixels; None where the class has none.
        content: what was done, or what the region shows.
        rng: chooses the wording.
    """
    if mask is None:
        return Described(describe(label, None, (), rng, content))
    cues = measure(pixels, mask)
    text = describe(label, mask, cues, rng, content)
    return Described(text, cues, position(mask), area(mask))
