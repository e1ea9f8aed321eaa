"""Grey masks: the one level from which on a pixel counts as altered."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ALTERED_THRESHOLD", "altered_pixels"]

ALTERED_THRESHOLD = 128
"""Of levels 0 to 255, the first above one half, as probability maps are stored."""


def altered_pixels(levels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mask (height, width), True where a grey level counts as altered."""
    altered: NDArray[Any] = levels >= ALTERED_THRESHOLD
    return altered
