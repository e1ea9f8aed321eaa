"""Maps of a picture: how noisy, how sharp, and how changed by one more compression each part is."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from sida.image.arrays import Pixels
from sida.provenance.measured.blocks import Luma, luma_of

__all__ = ["error_level_map", "in_strips", "noise_map", "sharpness_map", "unevenness"]


BLOCK = 16
STRIP = 2048  # rows
ERROR_QUALITY = 90


def in_strips(measure: Callable[[Pixels], Luma], pixels: Pixels) -> Luma:
    """A map of (rows, columns) of blocks of 16, made in strips, so that memory stays small.

    It is empty where the picture has no whole block.
    """
    if min(pixels.shape[:2]) < BLOCK + 2:
        return np.zeros((0, 0), np.float32)
    tops = range(0, pixels.shape[0] - BLOCK - 1, STRIP)
    return np.concatenate([measure(pixels[top : top + STRIP + 2]) for top in tops])


def noise_map(pixels: Pixels) -> Luma:
    """Spread of noise in levels (J. Immerkær, 1996, by medians)."""
    residual: Luma = np.diff(np.diff(luma_of(pixels), 2, axis=0), 2, axis=1)
    blocks = _blocks(np.abs(residual))
    return np.asarray(1.4826 / 6 * np.median(blocks, axis=(2, 3)), np.float32)


def sharpness_map(pixels: Pixels) -> Luma:
    """Second over first differences, which blur lowers."""
    luma = luma_of(pixels)
    across = np.abs(luma[1:-1, 2:] - luma[1:-1, :-2]) + np.abs(luma[2:, 1:-1] - luma[:-2, 1:-1])
    second = np.abs(luma[1:-1, 2:] + luma[1:-1, :-2] - 2 * luma[1:-1, 1:-1])
    second += np.abs(luma[2:, 1:-1] + luma[:-2, 1:-1] - 2 * luma[1:-1, 1:-1])
    first, other = (_blocks(differences).mean(axis=(2, 3)) for differences in (across, second))
    return np.asarray(other / (first + 1), np.float32)


def error_level_map(pixels: Pixels) -> Luma:
    """Mean change in levels by a JPEG compression of quality 90."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=ERROR_QUALITY, subsampling=0)
    with Image.open(stream, formats=["JPEG"]) as image:
        again = np.asarray(image)
    change = np.abs(pixels.astype(np.int16) - again).mean(axis=2)
    return np.asarray(_blocks(change.astype(np.float32)).mean(axis=(2, 3)), np.float32)


def unevenness(values: Luma) -> float | None:
    """The 90th over the 10th percentile of a map; None for less than ten blocks."""
    if values.size < 10:
        return None
    low, high = np.percentile(values, (10, 90))
    return round(float((high + 0.1) / (low + 0.1)), 2)


def _blocks(values: Luma) -> Luma:
    """(rows, columns, 16, 16); what is left at the right and at the bottom is not used."""
    rows, columns = (side // BLOCK for side in values.shape)
    inner = values[: rows * BLOCK, : columns * BLOCK]
    return inner.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)
