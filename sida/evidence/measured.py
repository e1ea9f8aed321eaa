"""What can be measured in a picture's pixels and coding: each with its meaning and its limits."""

from collections.abc import Callable

from numpy.typing import NDArray

from sida.image.read import Picture
from sida.verdict import Measured

__all__ = ["Draw", "measurements"]

Draw = Callable[[str, "NDArray"], None]


def measurements(data, picture: Picture, thumbnail, draw) -> list[Measured]:
    return []

MAPS = ("copied_regions", "noise", "sharpness", "error_level")
