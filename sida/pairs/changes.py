"""Regions that differ by more than the noise of recoding: a local noise floor, and the mask above.

Resizing and recompression change every pixel, and more where there is detail. So the floor is
measured in the pair itself, as a function of the original's detail: the median difference of pixels
with about as much of it. Most of a picture has to be unaltered for that.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sida.image.arrays import Float32Array, Mask
from sida.pairs.lab import distance, smooth

__all__ = ["altered", "detail", "noise_floor"]


BINS = 24
"""Levels of detail, equally many pixels in each."""
LEAST_IN_BIN = 20

FINE, COARSE = 1.0, 2.0
"""Pixels of smoothing: of squared differences, and of the differences themselves, in which noise
of recoding cancels out but a change of tone does not."""
SLOPES = (0.5, 0.3)
"""Largest rise of either floor for each unit of detail: coding loses a part of the detail only."""
LEAST_FLOORS = (0.3, 0.2)
"""Added to either floor, in units of Lab: 8-bit pixels are rounded."""
SURE, POSSIBLE = (5.0, 5.0), (2.5, 3.0)
"""Times the floor from which on a pixel was altered, and from which on it was if a sure one is
connected to it."""
LEAST_SURE = 0.0005
"""Share of the picture that the sure pixels of a region have at least."""
CLOSED = 0.04
"""Width of gaps that are closed, as a share of the shorter side."""
OPENED = 5
LEAST_AREA = 0.002
"""Share of the picture below which a region is not told."""


def detail(levels: Float32Array) -> Float32Array:
    """(height, width) standard deviation of L around each pixel of (height, width, 3)."""
    light = levels[..., 0]
    variance = smooth(light**2, 2) - smooth(light, 2) ** 2
    return np.asarray(np.sqrt(np.maximum(variance, 0)), np.float32)


def noise_floor(
    difference: Float32Array, amount: Float32Array, valid: Mask, slope: float
) -> Float32Array:
    """(height, width) difference that a pixel with its amount of detail has by recoding alone.

    The floor never falls as detail grows: a bin in which most pixels were altered (a new sky) is
    cut to the ones with more detail.

    Args:
        difference, amount: (height, width) of a difference, and of detail.
        valid: pixels that can be compared.
        slope: largest rise of the floor for each unit of detail.
    """
    values, amounts = difference[valid], amount[valid]
    if not len(values):
        return np.zeros_like(difference)
    edges = np.quantile(amounts, np.linspace(0, 1, BINS + 1))
    bins = np.clip(np.searchsorted(edges, amounts, side="right") - 1, 0, BINS - 1)
    medians = np.array([_median(values[bins == number]) for number in range(BINS)])
    if not np.isfinite(medians).any():
        medians[:] = np.median(values)
    middles = (edges[1:] + edges[:-1]) / 2
    # From the right: each bin is cut to the lowest median with more detail.
    floor = np.minimum.accumulate(medians[::-1])[::-1]
    floor = np.where(np.isfinite(floor), floor, medians[np.isfinite(medians)].max())
    floor = np.minimum(floor, floor[0] + slope * (middles - middles[0]))
    return np.asarray(np.interp(amount, middles, floor), np.float32)


def _median(values: Float32Array) -> float:
    return float(np.median(values)) if len(values) >= LEAST_IN_BIN else np.inf


def altered(edited: Float32Array, original: Float32Array, valid: Mask) -> Mask:
    """(height, width) bool, what differs by more than the noise floor.

    Args:
        edited, original: (height, width, 3) of `lab`, the original warped to the edited picture.
        valid: pixels that the original covers.
    """
    difference = np.where(valid[..., None], edited - original, 0).astype(np.float32)
    amount = detail(original)
    strengths = (
        np.sqrt(smooth((difference**2).sum(axis=2), FINE)),
        distance(smooth(difference, COARSE)),
    )
    sure, possible = np.zeros_like(valid), np.zeros_like(valid)
    for number, strength in enumerate(strengths):
        floor = noise_floor(strength, amount, valid, SLOPES[number]) + LEAST_FLOORS[number]
        sure |= valid & (strength > SURE[number] * floor)
        possible |= valid & (strength > POSSIBLE[number] * floor)
    return _tidied(_connected(possible, sure, LEAST_SURE)) & valid


def _tidied(mask: Mask) -> Mask:
    """Gaps closed, holes filled, specks removed, and the blur's reach taken off again."""
    side = max(3, round(CLOSED * min(mask.shape)) | 1)
    levels = _morphed(mask, cv2.MORPH_CLOSE, side)
    levels = _filled(levels)
    levels = _morphed(levels, cv2.MORPH_OPEN, OPENED)
    levels = _connected(levels, levels, LEAST_AREA)
    return _morphed(levels, cv2.MORPH_ERODE, 3)


def _connected(mask: Mask, seeds: Mask, least: float) -> Mask:
    """The connected parts that hold seeds on at least a share of the picture."""
    count, parts = cv2.connectedComponents(mask.astype(np.uint8))
    seed_counts = np.bincount(parts.ravel(), weights=seeds.ravel(), minlength=count)
    is_large = seed_counts >= least * mask.size
    is_large[0] = False
    return np.asarray(is_large[parts])


def _morphed(mask: Mask, operation: int, side: int) -> Mask:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    # A region at the picture's border goes on beyond it.
    padded = np.pad(mask.astype(np.uint8), side, mode="edge")
    inner: NDArray[Any] = cv2.morphologyEx(padded, operation, kernel)[side:-side, side:-side]
    return np.asarray(inner > 0)


def _filled(mask: Mask) -> Mask:
    """With what is enclosed on all sides."""
    padded = np.pad(mask.astype(np.uint8), 1)
    cv2.floodFill(padded, None, (0, 0), 2)
    return np.asarray(padded[1:-1, 1:-1] != 2)
