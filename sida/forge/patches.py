"""Filling a region with patches of the rest of its picture, as content-aware fill does."""

import cv2
import numpy as np
from numpy.typing import NDArray

from sida.image.arrays import Mask, Pixels
from sida.image.geometry import bounding_box

__all__ = ["fill_from_patches"]

Positions = NDArray[np.intp]
"""(number, 2): row and column."""

_WORKING_SIDE = 72
"""Longest side of the copy that correspondences are searched in; they are used at full size."""
_COARSEST_SIDE = 16
_PATCH = 5
_ROUNDS, _SWEEPS = 2, 3


def fill_from_patches(pixels: Pixels, mask: Mask, rng: np.random.Generator) -> Pixels:
    """The picture (height, width, 3) with the masked part put together from its surroundings.

    PatchMatch (Barnes et al. 2009) on a small copy finds for each missing pixel the place whose
    neighbourhood looks most alike; whole pixels are copied from there. So the filling has grain
    and edges of the picture, where diffusion from the border leaves a blur. A mask that leaves
    nothing to copy from is filled by diffusion.
    """
    part = _surroundings(mask)
    filled = pixels.copy()
    filled[part] = _filled(pixels[part], mask[part], rng)
    return filled


def _surroundings(mask: Mask) -> tuple[slice, slice]:
    """The mask's bounding box with half its size around it."""
    box = bounding_box(mask)
    if box is None:
        return np.s_[:0, :0]
    left, top, right, bottom = box
    margin = max(16, max(right - left, bottom - top) // 2)
    return np.s_[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]


def _filled(pixels: Pixels, mask: Mask, rng: np.random.Generator) -> Pixels:
    """A picture all of which may be copied from."""
    if not mask.any():
        return pixels
    size = np.array(mask.shape)
    scale = min(1.0, _WORKING_SIDE / size.max())
    small_size = np.maximum(1, np.rint(size * scale)).astype(int)
    ratio = small_size / size
    holes = np.argwhere(mask)
    within = holes * ratio
    cells = within.astype(np.intp)
    small_mask = np.zeros(small_size, bool)
    small_mask[cells[:, 0], cells[:, 1]] = True
    if not _valid_centres(small_mask).any():
        return np.asarray(cv2.inpaint(pixels, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA))
    small = cv2.resize(pixels, small_mask.shape[::-1], interpolation=cv2.INTER_AREA)
    sources = _correspondences(np.asarray(small, np.uint8), small_mask, rng)
    # The place inside its cell is kept, so that neighbours in the picture stay neighbours.
    copied = ((sources[cells[:, 0], cells[:, 1]] + within - cells) / ratio).astype(np.intp)
    copied = np.minimum(copied, size - 1)
    filled = pixels.copy()
    filled[mask] = pixels[copied[:, 0], copied[:, 1]]
    return filled


def _valid_centres(mask: Mask) -> Mask:
    """The middles of the patches that lie outside the mask as a whole."""
    return cv2.erode((~mask).astype(np.uint8), np.ones((_PATCH, _PATCH))) > 0


def _correspondences(pixels: Pixels, mask: Mask, rng: np.random.Generator) -> Positions:
    """(height, width, 2): of each masked pixel the known place that looks most like it."""
    valid, holes = _valid_centres(mask), np.argwhere(mask)
    numbers = np.full(mask.shape, -1)
    numbers[mask] = np.arange(len(holes))
    centres = np.argwhere(valid)
    best = centres[rng.integers(len(centres), size=len(holes))]
    current = pixels.copy()
    half_mask = cv2.dilate(mask.astype(np.uint8), np.ones((2, 2)), anchor=(0, 0))[::2, ::2] > 0
    if min(half_mask.shape) >= _COARSEST_SIDE and _valid_centres(half_mask).any():
        # Large structures are found where they are small: they bridge the hole there.
        half = cv2.resize(pixels, half_mask.shape[::-1], interpolation=cv2.INTER_AREA)
        coarse = _correspondences(np.asarray(half, np.uint8), half_mask, rng)
        moved = coarse[holes[:, 0] // 2, holes[:, 1] // 2] * 2 + holes % 2
        moved = np.minimum(moved, np.array(mask.shape) - 1)
        best = np.where(valid[moved[:, 0], moved[:, 1]][:, None], moved, best)
        current[mask] = pixels[best[:, 0], best[:, 1]]
    else:
        started = cv2.inpaint(pixels, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA)
        current = np.asarray(started, np.uint8)
    for _ in range(_ROUNDS):
        patches = _patches(current)
        targets = patches[mask]
        cost = np.full(len(holes), np.inf, np.float32)
        # The filling has changed, so all costs are measured anew.
        _improve(best, cost, best.copy(), patches, targets, valid)
        for sweep in range(_SWEEPS):
            step = 2 ** (_SWEEPS - 1 - sweep)
            for shift in ((step, 0), (-step, 0), (0, step), (0, -step)):
                near = (holes - shift).clip(0, np.array(mask.shape) - 1)
                beside = numbers[near[:, 0], near[:, 1]]
                moved = np.where((beside >= 0)[:, None], best[beside] + holes - near, best)
                _improve(best, cost, moved, patches, targets, valid)
            # Random search in ever smaller squares leaves local minima.
            reach = max(mask.shape) // 2
            while reach:
                moved = best + rng.integers(-reach, reach + 1, best.shape)
                _improve(best, cost, moved, patches, targets, valid)
                reach //= 3
        current = pixels.copy()
        current[mask] = pixels[best[:, 0], best[:, 1]]
    sources = np.zeros((*mask.shape, 2), np.intp)
    sources[mask] = best
    return sources


def _improve(
    best: Positions,
    cost: NDArray[np.float32],
    candidates: Positions,
    patches: NDArray[np.float32],
    targets: NDArray[np.float32],
    valid: Mask,
) -> None:
    """Take, in place, the candidates that lie at a known place and look more alike."""
    rows, columns = candidates.clip(0, np.array(valid.shape) - 1).T
    usable = np.flatnonzero(valid[rows, columns])
    rows, columns = rows[usable], columns[usable]
    costs = np.square(patches[rows, columns] - targets[usable]).sum(axis=1)
    better = costs < cost[usable]
    changed = usable[better]
    cost[changed] = costs[better]
    best[changed] = np.stack([rows[better], columns[better]], axis=1)


def _patches(pixels: Pixels) -> NDArray[np.float32]:
    """(height, width, values): the levels around each pixel."""
    margin = _PATCH // 2
    padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    height, width = pixels.shape[:2]
    shifted = [
        padded[row : row + height, column : column + width]
        for row in range(_PATCH)
        for column in range(_PATCH)
    ]
    return np.concatenate(shifted, axis=2).astype(np.float32)
