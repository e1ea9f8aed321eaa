"""Pictures cut and scaled into the windows that an encoder wants (numpy and Pillow only)."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from sida.model.config import NativeVisionConfig, SidaConfig
from sida.model.frame import Window

__all__ = ["CLIP_MEAN", "CLIP_STD", "ClipSamViews", "ClipWindowsViews", "NativeViews", "View"]

CLIP_MEAN = np.array((0.48145466, 0.4578275, 0.40821073), np.float32)
CLIP_STD = np.array((0.26862954, 0.26130258, 0.27577711), np.float32)
SAM_MEAN = np.array((123.675, 116.28, 103.53), np.float32)
SAM_STD = np.array((58.395, 57.12, 57.375), np.float32)
STEPS = 4
"""Positions of a window that are tried along each length of it."""
ROWS = 4
"""Of so many rows of pixels one is looked at for texture."""
LONGEST_STRIP = 2000
"""Longer edge over shorter, beyond which only the middle of a strip is scaled for CLIP."""


class View(NamedTuple):
    """One window: its place, and its normalised pixels (3, height, width) float32, unpadded."""

    window: Window
    pixels: np.ndarray


class ClipSamViews:
    """The published preprocessing: CLIP's centre crop, and the whole picture for SAM."""

    def __init__(self, config: SidaConfig) -> None:
        self.clip_side: int = config.vision.image_size
        self.sam_side: int = config.mask.image_size

    def vision(self, pixels: np.ndarray) -> list[View]:
        """CLIP's view of a picture (height, width, 3) uint8: bicubic, then the centre."""
        side = self.clip_side
        pixels, (cut_top, cut_left) = _centre(pixels)
        height, width = pixels.shape[:2]
        new_height, new_width = clip_size(height, width, side)
        resized = resize(pixels, (new_height, new_width), Image.Resampling.BICUBIC)
        top, left = (new_height - side) // 2, (new_width - side) // 2
        crop = resized[top : top + side, left : left + side]
        # The published processor scales in float64 and rounds once, to float32.
        values = (crop * (1 / 255)).astype(np.float32)
        values = (values - CLIP_MEAN) / CLIP_STD
        box = (
            cut_left + round(left * width / new_width),
            cut_top + round(top * height / new_height),
            cut_left + round((left + side) * width / new_width),
            cut_top + round((top + side) * height / new_height),
        )
        return [View(Window(box, (side, side), (side, side)), _channels_first(values))]

    def mask_window(self, height: int, width: int) -> list[Window]:
        """SAM's only window of a picture of this size."""
        canvas = (self.sam_side, self.sam_side)
        return [Window((0, 0, width, height), sam_size(height, width, self.sam_side), canvas)]

    def mask(self, pixels: np.ndarray) -> list[View]:
        """SAM's view of a picture (height, width, 3) uint8: bilinear, longer side to 1024."""
        (window,) = self.mask_window(*pixels.shape[:2])
        resized = resize(pixels, window.size, Image.Resampling.BILINEAR)
        values = (resized.astype(np.float32) - SAM_MEAN) / SAM_STD
        return [View(window, _channels_first(values))]


class ClipWindowsViews:
    """The whole picture at CLIP's size, and windows of that size at the picture's resolution."""

    def __init__(self, config: SidaConfig) -> None:
        self.side: int = config.vision.image_size
        self.most: int = config.vision.max_windows
        self.native = NativeViews(config)

    def vision(self, pixels: np.ndarray) -> list[View]:
        """The whole picture (height, width, 3) uint8, squeezed to a square, and its windows."""
        height, width = pixels.shape[:2]
        side = min(self.side, height, width)
        corners = window_corners(pixels, side, self.most)
        boxes = [(left, top, left + side, top + side) for top, left in corners]
        return [self._view(pixels, box) for box in [(0, 0, width, height), *boxes]]

    def _view(self, pixels: np.ndarray, box: tuple[int, int, int, int]) -> View:
        left, top, right, bottom = box
        size = (self.side, self.side)
        resized = resize(pixels[top:bottom, left:right], size, Image.Resampling.BICUBIC)
        values = (resized.astype(np.float32) / 255 - CLIP_MEAN) / CLIP_STD
        return View(Window(box, size, size), _channels_first(values))

    def mask_window(self, height: int, width: int) -> list[Window]:
        """The windows that masks of a picture of this size are made in."""
        return self.native.windows(height, width)

    def mask(self, pixels: np.ndarray) -> list[View]:
        """Windows for masks, as `NativeViews`."""
        return self.native.vision(pixels)


def window_corners(pixels: np.ndarray, side: int, most: int) -> list[tuple[int, int]]:
    """Top and left of the squares of a picture (height, width, 3) uint8 that are looked at.

    Texture holds the traces of how pixels were made, so the square with the most goes first; each
    further one is the best by its texture times the share of it that no earlier one shows. Squares
    that an earlier one shows whole are left out.

    Args:
        side: of the squares, at most height and width.
        most: at most so many squares, at least one.
    """
    starts = [_starts(length, side) for length in pixels.shape[:2]]
    corners = np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, 2)
    texture = _texture(pixels, side, starts).ravel()
    unseen = np.ones(len(corners))
    chosen: list[tuple[int, int]] = []
    while len(chosen) < most and unseen.max() > 0:
        index = int((texture * unseen).argmax())
        chosen.append((int(corners[index, 0]), int(corners[index, 1])))
        shared = (side - np.abs(corners - corners[index])).clip(0).prod(1) / side**2
        unseen = (unseen - shared).clip(0)
        unseen[index] = 0
    return chosen


def _starts(length: int, side: int) -> np.ndarray:
    """Evenly placed starts of squares that cover a length, STEPS of them along each side."""
    count = -(-(length - side) * STEPS // side) + 1
    return np.unique(np.linspace(0, length - side, count).round().astype(int))


def _texture(pixels: np.ndarray, side: int, starts: list[np.ndarray]) -> np.ndarray:
    """Mean log of 1 + steps of green between columns (rows, columns) in each square, above 0."""
    step = min(ROWS, side)
    green = pixels[::step, :, 1].astype(np.float32)
    steps = np.log1p(np.abs(np.diff(green, axis=1, append=green[:, -1:])))
    # Sums of many small numbers: float32 would lose those of a large picture.
    sums = np.pad(steps.cumsum(0, dtype=np.float64).cumsum(1), ((1, 0), (1, 0)))
    tops, lefts = starts
    first, last = -(-tops // step), -(-(tops + side) // step)
    rows = sums[last] - sums[first]
    total = rows[:, lefts + side] - rows[:, lefts]
    return np.asarray(total / ((last - first)[:, None] * side) + 1e-3)


class NativeViews:
    """Windows at the picture's own resolution; masks are made in the same windows."""

    def __init__(self, config: SidaConfig) -> None:
        vision: NativeVisionConfig = config.vision.native()
        self.side: int = vision.window
        self.overlap: int = vision.overlap
        self.most: int = vision.max_windows

    def vision(self, pixels: np.ndarray) -> list[View]:
        """Windows of a picture (height, width, 3) uint8, reduced only if there were too many."""
        height, width = pixels.shape[:2]
        reduced = resize(pixels, self._reduced(height, width), Image.Resampling.BILINEAR)
        spans = self._spans(height, width)
        parts = [reduced[top:bottom, left:right] for top, bottom, left, right in spans]
        values = [_channels_first(part.astype(np.float32) / 127.5 - 1) for part in parts]
        return [View(*pair) for pair in zip(self.windows(height, width), values, strict=True)]

    def windows(self, height: int, width: int) -> list[Window]:
        """The windows of a picture of this size."""
        new_height, new_width = self._reduced(height, width)
        windows = []
        for top, bottom, left, right in self._spans(height, width):
            box = (
                left * width // new_width,
                top * height // new_height,
                -(-right * width // new_width),
                -(-bottom * height // new_height),
            )
            size = (bottom - top, right - left)
            canvas = (-(-size[0] // 16) * 16, -(-size[1] // 16) * 16)
            windows.append(Window(box, size, canvas))
        return windows

    def _spans(self, height: int, width: int) -> list[tuple[int, int, int, int]]:
        """Top, bottom, left and right of each window, in the picture as it is reduced."""
        new_height, new_width = self._reduced(height, width)
        rows, columns = self._along(new_height), self._along(new_width)
        return [(*row, *column) for row in rows for column in columns]

    def mask_window(self, height: int, width: int) -> None:
        """Nothing: masks are made in the windows of `vision`."""

    def mask(self, pixels: np.ndarray) -> None:
        """Nothing: masks are made in the windows of `vision`."""

    def _reduced(self, height: int, width: int) -> tuple[int, int]:
        scale = 1.0
        while True:
            size = max(1, round(height * scale)), max(1, round(width * scale))
            if self._count(size[0]) * self._count(size[1]) <= self.most:
                return size
            scale *= 0.98

    def _count(self, length: int) -> int:
        if length <= self.side:
            return 1
        return -(-(length - self.overlap) // (self.side - self.overlap))

    def _along(self, length: int) -> list[tuple[int, int]]:
        """Evenly placed windows of one size that cover a length."""
        count = self._count(length)
        size = -(-(length + (count - 1) * self.overlap) // count)
        starts = np.linspace(0, length - size, count).round().astype(int)
        return [(int(start), int(start) + size) for start in starts]


def clip_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Size with the shorter edge at `side`; the longer one is truncated, as published."""
    short, long = sorted((height, width))
    if short == side:
        return height, width
    longer = int(side * long / short)
    return (side, longer) if height <= width else (longer, side)


def sam_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Size with the longer edge at `side`, both rounded half up, as published."""
    scale = side * 1.0 / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def resize(pixels: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    """Pillow's resize of (height, width, 3) uint8 to (height, width)."""
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], how))


def _centre(pixels: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """The middle of an extremely long strip, and its top and left.

    CLIP's crop shows a square of it; scaling all of a strip 1 pixel high would take gigabytes.
    """
    height, width = pixels.shape[:2]
    longest = LONGEST_STRIP * min(height, width)
    top, left = max(0, height - longest) // 2, max(0, width - longest) // 2
    return pixels[top : height - top, left : width - left], (top, left)


def _channels_first(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values.transpose(2, 0, 1))
