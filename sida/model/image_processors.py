"""Pictures cut and scaled into the windows that an encoder wants (numpy and Pillow only)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from PIL import Image

from sida.model.config import NativeVisionConfig, SidaConfig
from sida.model.frame import Window

__all__ = [
    "CLIP_MEAN",
    "CLIP_STD",
    "ClipSamImageProcessor",
    "ClipWindowsImageProcessor",
    "NativeImageProcessor",
    "PreparedWindow",
]

CLIP_MEAN = np.array((0.48145466, 0.4578275, 0.40821073), np.float32)
CLIP_STD = np.array((0.26862954, 0.26130258, 0.27577711), np.float32)
SAM_MEAN = np.array((123.675, 116.28, 103.53), np.float32)
SAM_STD = np.array((58.395, 57.12, 57.375), np.float32)
LONGEST_STRIP = 2000
"""Longer edge over shorter, beyond which only the middle of a strip is scaled for CLIP."""


class PreparedWindow(NamedTuple):
    """A window, and its normalised pixels (3, height, width) float32, unpadded."""

    window: Window
    pixels: np.ndarray


class ClipSamImageProcessor:
    """The published preprocessing: CLIP's centre crop, and the whole picture for SAM."""

    always_masks = False

    def __init__(self, config: SidaConfig) -> None:
        self.clip_side: int = config.vision.image_size
        self.sam_side: int = config.mask.image_size

    def vision(self, pixels: np.ndarray) -> list[PreparedWindow]:
        """CLIP's window of a picture (height, width, 3) uint8: bicubic, then the centre."""
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
        return [PreparedWindow(Window(box, (side, side), (side, side)), _channels_first(values))]

    def mask_window(self, height: int, width: int) -> list[Window]:
        """SAM's only window of a picture of this size."""
        canvas = (self.sam_side, self.sam_side)
        return [Window((0, 0, width, height), sam_size(height, width, self.sam_side), canvas)]

    def mask(self, pixels: np.ndarray) -> list[PreparedWindow]:
        """SAM's window of a picture (height, width, 3) uint8: bilinear, longer side to 1024."""
        (window,) = self.mask_window(*pixels.shape[:2])
        resized = resize(pixels, window.size, Image.Resampling.BILINEAR)
        values = (resized.astype(np.float32) - SAM_MEAN) / SAM_STD
        return [PreparedWindow(window, _channels_first(values))]


class ClipWindowsImageProcessor:
    """The whole picture at CLIP's size, and windows that cover it."""

    always_masks = True
    """Windows for masks are seen for the class as well."""

    def __init__(self, config: SidaConfig) -> None:
        self.side: int = config.vision.image_size
        self.window: int = config.vision.window
        self.max_windows: int = config.vision.max_windows

    def vision(self, pixels: np.ndarray) -> list[PreparedWindow]:
        """The whole picture (height, width, 3) uint8, squeezed to a square."""
        height, width = pixels.shape[:2]
        size = (self.side, self.side)
        resized = resize(pixels, size, Image.Resampling.BICUBIC)
        return [PreparedWindow(Window((0, 0, width, height), size, size), _clip_normed(resized))]

    def mask_window(self, height: int, width: int) -> list[Window]:
        """The windows of a picture of this size."""
        size = covered_size(height, width, self.window, self.max_windows)
        return self._windows((height, width), size, _corners(*self._starts(size)))

    def mask(self, pixels: np.ndarray) -> list[PreparedWindow]:
        """The windows of a picture (height, width, 3) uint8."""
        height, width = pixels.shape[:2]
        size = covered_size(height, width, self.window, self.max_windows)
        return self._prepared(pixels, size, _corners(*self._starts(size)))

    def between(self, pixels: np.ndarray) -> list[PreparedWindow]:
        """Windows half-way between those of `mask`, for masks alone.

        What lies at the border of one window is in the middle of another, so that no seam shows.
        """
        height, width = pixels.shape[:2]
        size = covered_size(height, width, self.window, self.max_windows)
        starts = self._starts(size)
        dense = _corners(*(sorted({*line, *_midpoints(line)}) for line in starts))
        taken = set(_corners(*starts))
        return self._prepared(pixels, size, [corner for corner in dense if corner not in taken])

    def squeezed(self, pixels: np.ndarray) -> list[PreparedWindow]:
        """All of a picture in one square window, for masks alone; none where `mask` has just one.

        It shows in one piece what windows at the picture's own resolution cut into parts.
        """
        if len(self.mask_window(*pixels.shape[:2])) == 1:
            return []
        return self._prepared(pixels, (self.window, self.window), [(0, 0)])

    def _prepared(
        self, pixels: np.ndarray, size: tuple[int, int], corners: Sequence[tuple[int, int]]
    ) -> list[PreparedWindow]:
        """Windows of a picture that is resized to `size`."""
        resized = resize(pixels, size, Image.Resampling.BICUBIC)
        side = self.window
        parts = [
            _clip_normed(resized[top : top + side, left : left + side]) for top, left in corners
        ]
        height, width = pixels.shape[:2]
        windows = self._windows((height, width), size, corners)
        return [PreparedWindow(*pair) for pair in zip(windows, parts, strict=True)]

    def _windows(
        self,
        picture: tuple[int, int],
        size: tuple[int, int],
        corners: Sequence[tuple[int, int]],
    ) -> list[Window]:
        """Windows of a picture of one size that is resized to another."""
        (height, width), (new_height, new_width) = picture, size
        canvas = (self.window, self.window)
        windows = []
        for top, left in corners:
            # Rounded outwards: the boxes must cover every pixel of the original.
            box = (
                left * width // new_width,
                top * height // new_height,
                -(-(left + self.window) * width // new_width),
                -(-(top + self.window) * height // new_height),
            )
            windows.append(Window(box, canvas, canvas))
        return windows

    def _starts(self, size: tuple[int, int]) -> tuple[list[int], list[int]]:
        """Tops and lefts of evenly placed windows that cover a picture of at least their size."""
        rows, columns = (
            np.linspace(0, length - self.window, -(-length // self.window)).round().astype(int)
            for length in size
        )
        return rows.tolist(), columns.tolist()


def _corners(tops: Sequence[int], lefts: Sequence[int]) -> list[tuple[int, int]]:
    return [(top, left) for top in tops for left in lefts]


def _midpoints(starts: Sequence[int]) -> list[int]:
    return [(first + second) // 2 for first, second in pairwise(starts)]


def covered_size(height: int, width: int, side: int, max_windows: int) -> tuple[int, int]:
    """The size at which at most `max_windows` squares of `side` cover a picture.

    A picture is reduced only as far as it must, and enlarged only to hold one square; it keeps its
    proportions unless it is a strip that is longer than all squares in a row.
    """
    grids = ((rows, max_windows // rows) for rows in range(1, max_windows + 1))
    scales = (min(rows * side / height, columns * side / width) for rows, columns in grids)
    scale = min(1.0, max(scales))
    if min(height, width) * scale < side:
        enlarged = side / min(height, width)
        rows, columns = (-(-round(length * enlarged) // side) for length in (height, width))
        if rows * columns <= max_windows:
            scale = enlarged
    return max(side, round(height * scale)), max(side, round(width * scale))


class NativeImageProcessor:
    """Windows at the picture's own resolution; masks are made in the same windows."""

    always_masks = False

    def __init__(self, config: SidaConfig) -> None:
        vision: NativeVisionConfig = config.vision
        self.side: int = vision.window
        self.overlap: int = vision.overlap
        self.max_windows: int = vision.max_windows

    def vision(self, pixels: np.ndarray) -> list[PreparedWindow]:
        """Windows of a picture (height, width, 3) uint8, reduced only if there were too many."""
        height, width = pixels.shape[:2]
        reduced = resize(pixels, self._reduced(height, width), Image.Resampling.BILINEAR)
        spans = self._spans(height, width)
        parts = [reduced[top:bottom, left:right] for top, bottom, left, right in spans]
        values = [_channels_first(part.astype(np.float32) / 127.5 - 1) for part in parts]
        return [
            PreparedWindow(*pair) for pair in zip(self.windows(height, width), values, strict=True)
        ]

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
        # In steps: the number of windows jumps, so no formula gives the largest scale.
        scale = 1.0
        while True:
            size = max(1, round(height * scale)), max(1, round(width * scale))
            if self._count(size[0]) * self._count(size[1]) <= self.max_windows:
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


def resize(pixels: np.ndarray, size: tuple[int, int], resampling: Image.Resampling) -> np.ndarray:
    """Pillow's resize of (height, width, 3) uint8 to (height, width)."""
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], resampling))


def _centre(pixels: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """The middle of an extremely long strip, and its top and left.

    CLIP's crop shows a square of it; scaling all of a strip 1 pixel high would take gigabytes.
    """
    height, width = pixels.shape[:2]
    longest = LONGEST_STRIP * min(height, width)
    top, left = max(0, height - longest) // 2, max(0, width - longest) // 2
    return pixels[top : height - top, left : width - left], (top, left)


def _clip_normed(pixels: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8 -> (3, height, width) float32, with CLIP's mean and deviation."""
    return _channels_first((pixels.astype(np.float32) / 255 - CLIP_MEAN) / CLIP_STD)


def _channels_first(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values.transpose(2, 0, 1))
