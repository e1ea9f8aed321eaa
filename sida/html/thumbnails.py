"""Small pictures for a page, as text inside it."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sida.image.overlay import overlay

__all__ = ["data_uri", "small_jpeg", "thumbnail"]


def thumbnail(
    pixels: NDArray[np.uint8],
    mask: NDArray[Any] | None = None,
    side: int = 240,
    quality: int = 80,
) -> str:
    """A picture (height, width, 3) uint8 made small, with its altered region drawn over it.

    Returns a data URI (JPEG), at most `side` pixels on the longer side.
    """
    return data_uri(small_jpeg(pixels, mask, side, quality), "image/jpeg")


def small_jpeg(
    pixels: NDArray[np.uint8],
    mask: NDArray[Any] | None = None,
    side: int = 240,
    quality: int = 80,
) -> bytes:
    """The same as the bytes of a JPEG."""
    image = Image.fromarray(pixels)
    # A reducing gap lets JPEG-sized pictures shrink several times faster.
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3)
    if mask is not None and mask.any():
        # BOX keeps thin regions that the nearest pixel would lose.
        levels = Image.fromarray(mask.astype(bool)).resize(image.size, Image.Resampling.BOX)
        image = Image.fromarray(overlay(np.array(image), np.array(levels).astype(bool)))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def data_uri(data: bytes, media_type: str) -> str:
    """A file's bytes as an address that holds them."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
