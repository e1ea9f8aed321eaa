"""Arrays of pictures and masks, and the one level from which on a pixel counts as altered."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ALTERED_THRESHOLD", "Float32Array", "Mask", "Pixels", "altered_pixels"]

Float32Array = NDArray[np.float32]

Pixels = NDArray[np.uint8]
"""(height, width, 3), RGB."""

Mask = NDArray[np.bool_]
"""(height, width), True = altered."""

ALTERED_THRESHOLD = 128
"""Of levels 0 to 255, the first above one half, as probability maps are stored."""


def altered_pixels(levels: NDArray[Any]) -> Mask:
    """Mask (height, width), True where a grey level 0 to 255 counts as altered."""
    return np.asarray(levels >= ALTERED_THRESHOLD)
