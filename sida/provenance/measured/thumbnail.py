"""The small picture that cameras embed, against the picture: an edit may have forgotten it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sida.errors import PictureError
from sida.image.read import read_picture
from sida.provenance.measured.blocks import luma_of

__all__ = ["thumbnail_likeness"]

MAX_PIXELS = 4_000_000  # pixels
LEAST = 8  # pixels a side


def thumbnail_likeness(thumbnail: bytes, pixels: NDArray[np.uint8]) -> float | None:
    """Correlation of luma, -1 to 1, of a thumbnail and its picture; None where it is no picture.

    Bars that fill a thumbnail of another shape are left out. `pixels` (height, width, 3) may be
    turned and mirrored against the thumbnail, as EXIF's orientations do; the best of the eight
    counts.
    """
    try:
        small = read_picture(thumbnail, max_pixels=MAX_PIXELS).pixels
    except PictureError:
        return None
    sides = (pixels, pixels[:, ::-1])
    correlations = [
        _correlation(small, np.rot90(side, turns)) for side in sides for turns in range(4)
    ]
    finite = [value for value in correlations if value is not None]
    return round(max(finite), 3) if finite else None


def _correlation(small: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> float | None:
    """None where the shapes do not fit without cutting more than a third away."""
    height, width = small.shape[:2]
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    size = round(scale * pixels.shape[1]), round(scale * pixels.shape[0])
    if min(size) < LEAST or size[0] * size[1] < 0.66 * width * height:
        return None
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    inner = small[top : top + size[1], left : left + size[0]]
    image = Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BOX)
    first, second = luma_of(inner).ravel(), luma_of(np.asarray(image)).ravel()
    if first.std() < 1 or second.std() < 1:
        return None
    return float(np.corrcoef(first, second)[0, 1])
