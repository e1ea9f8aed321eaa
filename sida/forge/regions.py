"""Where to alter a picture: objects, superpixels, shapes, or what a segmenter finds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from skimage.segmentation import slic

from sida.forge.config import RegionMethod
from sida.image.arrays import Mask, Pixels

__all__ = ["Finder", "ObjectMask", "Parameters", "TargetRegion", "draw_region"]


_SLIC_SIDE, _GRABCUT_SIDE = 192, 128
"""Larger pictures are looked at smaller: finer borders cost time and say nothing."""


Parameters = Mapping[str, JsonValue]
"""Of an operation or a region, as the manifest notes them."""


@dataclass(frozen=True)
class TargetRegion:
    """A part of a picture: `mask` (height, width) bool; how it came about; what it shows."""

    mask: Mask
    method: str
    parameters: Parameters = field(default_factory=dict)
    object: str | None = None


ObjectMask = tuple[Mask, str | None]
"""A mask (height, width) of something in a picture, and its word where that is known."""


class Finder(Protocol):
    """Finds things in a picture (height, width, 3) uint8; with a word, such things."""

    def __call__(self, pixels: Pixels, word: str | None = None) -> Sequence[ObjectMask]: ...


def draw_region(
    pixels: Pixels,
    rng: np.random.Generator,
    methods: Mapping[RegionMethod, float],
    area: tuple[float, float],
    objects: Sequence[ObjectMask] = (),
    finder: Finder | None = None,
) -> TargetRegion:
    """A random region.

    Args:
        pixels: (height, width, 3) uint8.
        methods: "object", "foreground", "superpixels", "shape", "text_box", "segmenter" and how
            often each; where the picture has no fitting object, or nothing fitting is found,
            superpixels take its place.
        area: least and largest fraction of the picture. Fractions are drawn evenly on a
            logarithmic scale.
        objects: masks known of this picture.
        finder: for "segmenter".
    """
    names = list(methods)
    shares = np.array([methods[name] for name in names], float)
    method = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    candidates = objects if method == "object" else ()
    if method == "segmenter" and finder is not None:
        candidates = finder(pixels)
    if candidates and (region := _object_region(candidates, method, area, rng)) is not None:
        return region
    # Drawn before the method is tried: those that take its place aim at the same area.
    target = float(np.exp(rng.uniform(np.log(area[0]), np.log(area[1]))))
    if method == "text_box":
        return TargetRegion(_text_box(pixels.shape, target, rng), method)
    if method == "foreground":
        region = _foreground(pixels, rng)
        if area[0] <= region.mask.mean() <= area[1]:
            return region
    if method != "shape":
        region = _superpixels(pixels, target, rng)
        if area[0] <= region.mask.mean() <= area[1]:
            return region
    return _shape(pixels.shape[:2], target, rng)


def _object_region(
    candidates: Sequence[ObjectMask],
    method: str,
    area: tuple[float, float],
    rng: np.random.Generator,
) -> TargetRegion | None:
    fitting = [candidate for candidate in candidates if area[0] <= candidate[0].mean() <= area[1]]
    if not fitting:
        return None
    mask, word = fitting[int(rng.integers(len(fitting)))]
    return TargetRegion(mask, method, {}, word)


def _superpixels(pixels: Pixels, target: float, rng: np.random.Generator) -> TargetRegion:
    """Neighbouring superpixels (SLIC), joined by likeness of colour up to the wanted area."""
    height, width = pixels.shape[:2]
    scale = min(1.0, _SLIC_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    segments, compactness = int(rng.integers(40, 160)), float(rng.choice((5, 10, 20)))
    labels = slic(small, segments, compactness, max_num_iter=5, start_label=0)
    start = labels[rng.integers(labels.shape[0]), rng.integers(labels.shape[1])]
    mask = _grown(small, labels, int(start), target)
    smooth = cv2.medianBlur(mask.astype(np.uint8), 7)  # in noise the borders are ragged
    full_mask = _enlarged(_largest(smooth), (width, height))
    return TargetRegion(
        full_mask, "superpixels", {"segments": segments, "compactness": compactness}
    )


def _foreground(pixels: Pixels, rng: np.random.Generator) -> TargetRegion:
    """Foreground that stands out of the colours along the picture's border.

    By GrabCut (Rother et al. 2004). It is empty where nothing does, in about half of all
    photographs.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, _GRABCUT_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    sides = [max(1, int(side * rng.uniform(0.7, 0.95))) for side in size]
    left, top = (
        int(rng.integers(full_mask - side + 1)) for full_mask, side in zip(size, sides, strict=True)
    )
    labels = np.zeros(small.shape[:2], np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(int(rng.integers(2**31)))  # it clusters colours from a random start
    cv2.grabCut(small, labels, (left, top, *sides), *models, 2, cv2.GC_INIT_WITH_RECT)
    mask = np.asarray(labels % 2, np.uint8)  # the odd ones are certain and probable foreground
    full_mask = _enlarged(_largest(cv2.medianBlur(mask, 5)), (width, height))
    return TargetRegion(full_mask, "foreground")


def _enlarged(mask: NDArray[np.uint8], size: tuple[int, int]) -> Mask:
    """The mask at (width, height), its border smooth."""
    return np.asarray(
        cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) >= 0.5
    )


def _largest(levels: NDArray[Any]) -> NDArray[np.uint8]:
    """The largest connected part."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(levels)
    if count < 2:
        return np.zeros(levels.shape, np.uint8)
    return np.asarray(labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA]), np.uint8)


def _grown(pixels: Pixels, labels: NDArray[np.intp], start: int, target: float) -> Mask:
    means = (
        np.stack(
            [np.bincount(labels.ravel(), weights=pixels[..., c].ravel()) for c in range(3)], axis=1
        )
        / np.maximum(np.bincount(labels.ravel()), 1)[:, None]
    )
    # Superpixels join one by one, the neighbour nearest in colour first.
    mask: Mask = labels == start
    while mask.mean() < target:
        ring = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~mask
        beside = np.unique(labels[ring])
        if not len(beside):
            break
        colour = pixels[mask].mean(axis=0)
        nearest = beside[np.argmin(np.abs(means[beside] - colour).sum(axis=1))]
        joined = mask | (labels == nearest)
        if joined.mean() - target > target - mask.mean():  # without it the area is nearer
            break
        mask = joined
    return mask


def _shape(size: tuple[int, ...], target: float, rng: np.random.Generator) -> TargetRegion:
    """A shape of `_OUTLINES` of about the wanted area."""
    name = list(_OUTLINES)[int(rng.integers(len(_OUTLINES)))]
    mask = _OUTLINES[name](size, target, rng)
    if not 0.4 * target < mask.mean() < 2.5 * target:  # much of it lay outside the picture
        name, mask = "ellipse", _ellipse(size, target, rng)
    return TargetRegion(mask, "shape", {"shape": name})


def _centre(size: tuple[int, ...], reach: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """x, y such that a shape of that radius lies inside, where it can."""
    sides = np.array(size[1::-1], float)
    low = np.minimum(reach, sides / 2)
    return rng.uniform(low, sides - low)


def _filled(size: tuple[int, ...], corners: NDArray[np.float64]) -> Mask:
    mask = np.zeros(size[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
    return mask.astype(bool)


def _ellipse(size: tuple[int, ...], target: float, rng: np.random.Generator) -> Mask:
    pixels = max(target * size[0] * size[1], 16)
    aspect = float(rng.uniform(0.5, 1))
    long = float(np.sqrt(pixels / (np.pi * aspect)))
    x, y = _centre(size, long, rng)
    mask = np.zeros(size[:2], np.uint8)
    axes = (max(1, round(long)), max(1, round(long * aspect)))
    cv2.ellipse(mask, (round(x), round(y)), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return mask.astype(bool)


def _rectangle(size: tuple[int, ...], target: float, rng: np.random.Generator) -> Mask:
    pixels, aspect = target * size[0] * size[1], float(rng.uniform(0.4, 1))
    long = float(np.sqrt(pixels / aspect))
    centre = _centre(size, long / 2, rng)
    angle = float(rng.uniform(-45, 45)) if rng.random() < 0.5 else 0.0
    box = cv2.boxPoints(((centre[0], centre[1]), (long, long * aspect), angle))
    return _filled(size, np.asarray(box, float))


def _blob(size: tuple[int, ...], target: float, rng: np.random.Generator) -> Mask:
    """A closed curve whose radius wavers in a few harmonics."""
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    radius = np.ones_like(angles)
    for order in (1, 2, 3, 4, 5):
        radius += rng.normal(0, 0.25 / order) * np.cos(order * angles + rng.uniform(0, 2 * np.pi))
    radius = radius.clip(0.3, None)
    # Scaled to the area: pi times the mean squared radius is that of the closed curve.
    radius *= np.sqrt(target * size[0] * size[1] / (np.pi * np.mean(radius**2)))
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None]
    return _filled(size, _centre(size, float(radius.max()), rng) + around)


def _stroke(size: tuple[int, ...], target: float, rng: np.random.Generator) -> Mask:
    """A thick line of some bends, as a brush leaves it."""
    pixels = target * size[0] * size[1]
    thick = float(np.sqrt(pixels) * rng.uniform(0.35, 0.7))
    points = [_centre(size, thick, rng)]
    heading, length = float(rng.uniform(0, 2 * np.pi)), pixels / thick / 4
    for _ in range(4):
        heading += float(rng.normal(0, 0.7))
        step = length * np.array([np.cos(heading), np.sin(heading)])
        points.append((points[-1] + step).clip(0, np.array(size[1::-1]) - 1))
    mask = np.zeros(size[:2], np.uint8)
    line = np.rint(points).astype(np.int32)
    cv2.polylines(mask, [line], False, 1, thickness=max(1, round(thick)))
    return mask.astype(bool)


def _brush(size: tuple[int, ...], target: float, rng: np.random.Generator) -> Mask:
    """Bent strokes across each other, the free-form holes that inpainting networks learn with."""
    mask = np.zeros(size[:2], np.uint8)
    thick = float(np.sqrt(target * size[0] * size[1]) * rng.uniform(0.15, 0.35))
    for _ in range(24):
        point, heading = _centre(size, thick, rng), float(rng.uniform(0, 2 * np.pi))
        points = [point]
        for _ in range(int(rng.integers(2, 6))):
            heading += float(rng.normal(0, 1.2))
            step = thick * rng.uniform(1, 3) * np.array([np.cos(heading), np.sin(heading)])
            points.append((points[-1] + step).clip(0, np.array(size[1::-1]) - 1))
        line = np.rint(points).astype(np.int32)
        cv2.polylines(mask, [line], False, 1, thickness=max(1, round(thick)))
        if mask.mean() >= 0.8 * target:
            break
    return mask.astype(bool)


def _square(size: tuple[int, ...], target: float, rng: np.random.Generator) -> Mask:
    """A square in the middle, the hole of many inpainting sets."""
    side = min(round(float(np.sqrt(target * size[0] * size[1]))), *size[:2])
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    mask = np.zeros(size[:2], bool)
    mask[top : top + side, left : left + side] = True
    return mask


def _text_box(size: tuple[int, ...], target: float, rng: np.random.Generator) -> Mask:
    """A box as wide as a line of text, two to eight times its height."""
    pixels, aspect = target * size[0] * size[1], float(rng.uniform(2, 8))
    height = min(size[0], max(8, round(float(np.sqrt(pixels / aspect)))))
    width = min(size[1], max(16, round(height * aspect)))
    top = int(rng.integers(size[0] - height + 1))
    left = int(rng.integers(size[1] - width + 1))
    mask = np.zeros(size[:2], bool)
    mask[top : top + height, left : left + width] = True
    return mask


_OUTLINES: Mapping[str, Callable[[tuple[int, ...], float, np.random.Generator], Mask]] = {
    "ellipse": _ellipse,
    "rectangle": _rectangle,
    "blob": _blob,
    "stroke": _stroke,
    "brush": _brush,
    "square": _square,
}
