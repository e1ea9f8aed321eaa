"""Luma as JPEG codes it: in blocks of 8 x 8 pixels, and their cosine transform."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

__all__ = ["coefficients", "jpeg_luma", "luma_of", "middle"]

Luma = NDArray[np.float32]

MIDDLE = 1536
"""Pixels a side."""
MAX_BLOCKS = 6_000
"""Blocks that are looked at; more say little more."""


def _basis() -> Luma:
    """(8, 8): the orthonormal cosine transform, of ITU-T T.81, A.3.3."""
    frequency, position = np.mgrid[0:8, 0:8]
    basis = 0.5 * np.cos((2 * position + 1) * frequency * np.pi / 16)
    basis[0] /= np.sqrt(2)
    return np.asarray(basis, np.float32)


_BASIS = _basis()


def luma_of(pixels: NDArray[np.uint8]) -> Luma:
    """(height, width) luma of ITU-R BT.601, 0-255, of RGB (height, width, 3)."""
    luma: Luma = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return luma


def middle(array: NDArray[Any]) -> NDArray[Any]:
    """The middle of a large picture, beginning with a whole block: more of it says little more."""
    top, left = (max(0, side - MIDDLE) // 16 * 8 for side in array.shape[:2])
    return array[top : top + MIDDLE, left : left + MIDDLE]


def jpeg_luma(data: bytes) -> Luma | None:
    """(height, width) of the middle of a JPEG file as coded: neither turned nor rounded as RGB.

    None where it is no JPEG with luma.
    """
    try:
        image = JpegImageFile(io.BytesIO(data))
        image.draft("L", image.size)
        return None if image.mode != "L" else np.asarray(middle(np.asarray(image)), np.float32)
    except Exception:  # Pillow raises a dozen kinds on broken files
        return None


def coefficients(luma: Luma, left: int = 0, top: int = 0, max_blocks: int = MAX_BLOCKS) -> Luma:
    """(blocks, 8, 8) of the grid that begins `left` and `top` pixels inside the picture.

    At most about `max_blocks`, spread evenly; frequencies downwards first, then to the right.
    """
    rows, columns = max(0, luma.shape[0] - top) // 8, max(0, luma.shape[1] - left) // 8
    if not rows * columns:
        return np.zeros((0, 8, 8), np.float32)
    inner = luma[top : top + 8 * rows, left : left + 8 * columns]
    blocks = inner.reshape(rows, 8, columns, 8).swapaxes(1, 2).reshape(-1, 8, 8)
    step = max(1, len(blocks) // max_blocks)
    if step % columns == 0 and step > 1:  # else whole columns of blocks would be left out
        step += 1
    return np.asarray(_BASIS @ (blocks[::step] - np.float32(128)) @ _BASIS.T, np.float32)
