"""Fine detail of a decoded picture made as strong as the photograph's."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["match_detail"]

OCTAVES = 3
MOST_GAIN = 4.0
"""By which an octave is amplified, or weakened."""


def match_detail(decoded: NDArray[np.uint8], photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`made` with each of its three finest octaves at the strength that the photograph has there.

    A small autoencoder blurs, so a detector trained on what it makes would learn that blur is
    synthetic. Bands are those of a Laplacian pyramid that keeps its size.

    Args:
        made: (height, width, 3); as the photograph, which it was made from.
    """
    coarse: NDArray[Any] = decoded.astype(np.float32)
    target: NDArray[Any] = photograph.astype(np.float32)
    result = np.zeros_like(coarse)
    for octave in range(OCTAVES):
        sigma = 0.7 * 2**octave
        softer, soft = (cv2.GaussianBlur(levels, (0, 0), sigma) for levels in (coarse, target))
        band = coarse - softer
        # A thousandth keeps flat bands, whose deviation is 0, from being divided by it.
        gain = (target - soft).std() / (band.std() + 1e-3)
        result += band * np.clip(gain, 1 / MOST_GAIN, MOST_GAIN)
        coarse, target = softer, soft
    return np.asarray(np.rint(result + coarse).clip(0, 255), np.uint8)
