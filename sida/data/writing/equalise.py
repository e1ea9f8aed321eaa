"""Equal containers for all classes: format, size and quality drawn by one rule.

Every picture is cut to a window at its own resolution (never resized: that would leave traces of
its own) and encoded anew. The draw depends on the seed and on the picture's name, not its class. No
metadata is kept. What earlier compressions left in the pixels stays there.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sida.data.sample import Labelled
from sida.errors import DataError
from sida.image.arrays import ALTERED_THRESHOLD
from sida.image.perturbation import encode

__all__ = ["EqualisedPicture", "Rule", "common_side"]

STEP = 16  # sides are multiples of this, so that windows end where JPEG's blocks do
LEAST, GREATEST = 64, 1024
USABLE_SHARE = 0.95  # this share of every class is at least as large as the window
SMALLEST = 0.7  # of the common side
JPEG_SHARE = 0.8
QUALITIES = (70, 95)


@dataclass(frozen=True)
class EqualisedPicture:
    """A picture made anew: its file's bytes and suffix, the mask (height, width) uint8 or None."""

    data: bytes
    suffix: str
    mask: NDArray[np.uint8] | None
    size: tuple[int, int]


@dataclass(frozen=True)
class Rule:
    """Ranges to draw from: windows of `SMALLEST` to 1 times `side` pixels a side; and a seed."""

    side: int
    seed: int = 0

    def refuses(self, labelled: Labelled) -> str | None:
        """Why a picture cannot be used, or None."""
        picture = labelled.picture
        if min(picture.width, picture.height) < self.side:
            return (
                f"it is {picture.width} x {picture.height}, smaller than the common window of "
                f"{self.side} pixels: left out"
            )
        has_mask = labelled.mask is not None and labelled.mask.any()
        if labelled.sample.label == "tampered" and not has_mask:
            return "without a mask, a window of it may show nothing altered: left out"
        return None

    def draw(self, labelled: Labelled) -> EqualisedPicture:
        """Cut and encode a picture that is not refused; a tampered one shows some of its mask."""
        digest = hashlib.sha256(f"{self.seed}/{labelled.sample.name}".encode()).digest()
        # By seed and name, not by order: a picture is drawn alike whatever else is in the set.
        rng = np.random.default_rng(list(digest))
        low = -(-int(SMALLEST * self.side) // STEP)
        width, height = STEP * rng.integers(low, self.side // STEP + 1, 2)
        # Drawn before the corner for all classes alike, so the class cannot show in the container.
        is_jpeg = bool(rng.random() < JPEG_SHARE)
        quality = int(rng.integers(QUALITIES[0], QUALITIES[1] + 1))
        top, left = _corner(labelled, (int(height), int(width)), rng)
        window = np.s_[top : top + int(height), left : left + int(width)]
        pixels = labelled.picture.pixels[window]
        data = (
            encode(pixels, "JPEG", quality=quality, subsampling="4:2:0")
            if is_jpeg
            else encode(pixels, "PNG")
        )
        mask = None if labelled.mask is None else labelled.mask[window]
        return EqualisedPicture(
            data, ".jpg" if is_jpeg else ".png", mask, (int(height), int(width))
        )


def _corner(labelled: Labelled, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """Top and left: anywhere, or so that an altered pixel drawn at random lies in the window."""
    limits = (labelled.picture.height - size[0], labelled.picture.width - size[1])
    anywhere = [int(rng.integers(limit + 1)) for limit in limits]
    if labelled.mask is None or not labelled.mask.any():
        return anywhere[0], anywhere[1]
    altered = np.flatnonzero(labelled.mask >= min(ALTERED_THRESHOLD, int(labelled.mask.max())))
    pixel = np.unravel_index(rng.choice(altered), labelled.mask.shape)
    corner = [int(p) - int(rng.integers(length)) for p, length in zip(pixel, size, strict=True)]
    top, left = (min(max(at, 0), limit) for at, limit in zip(corner, limits, strict=True))
    return top, left


def common_side(sizes: Iterable[tuple[str, int]]) -> int:
    """The largest window side that `USABLE_SHARE` of every class can give, a multiple of `STEP`.

    `sizes` are classes and the shorter sides of their pictures. Raises DataError where it is too
    small to be of use.
    """
    by_label: dict[str, list[int]] = {}
    for label, side in sizes:
        by_label.setdefault(label, []).append(side)
    limits = {label: _reached(sides) for label, sides in by_label.items()}
    side = min([GREATEST, *limits.values()]) // STEP * STEP
    if side < LEAST:
        smallest = min(limits, key=lambda label: limits[label])
        raise DataError(
            f"the pictures cannot be cut to one size: of {smallest} {1 - USABLE_SHARE:.0%} are "
            f"below {limits[smallest] + 1} pixels, expected at least {LEAST}; remove the smallest "
            "ones"
        )
    return side


def _reached(sides: Sequence[int]) -> int:
    return int(np.quantile(sides, 1 - USABLE_SHARE, method="lower"))
