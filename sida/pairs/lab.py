"""Colour differences in CIE Lab, where equal distances look about equally large."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sida.image.arrays import Float32Array

__all__ = ["CHROMA", "distance", "lab", "smooth"]


CHROMA = 0.35
"""Weight of a and b beside L: JPEG keeps them at half of the sides, so they are noisy far around
an edge. With 1 the noise floor of the recoding is twice as high, and masks are worse."""


def lab(pixels: NDArray[np.uint8]) -> Float32Array:
    """(height, width, 3) float32 of L (0 to 100), a and b, the latter two times `CHROMA`."""
    levels = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.asarray(levels * np.array([1, CHROMA, CHROMA], np.float32), np.float32)


def distance(difference: Float32Array) -> Float32Array:
    """(height, width) length of the differences (height, width, 3)."""
    return np.asarray(np.sqrt((difference**2).sum(axis=2)), np.float32)


def smooth(values: NDArray[Any], sigma: float) -> Float32Array:
    """Gaussian blur of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)
