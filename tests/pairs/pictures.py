"""Pictures with detail everywhere, and what can happen to them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from sida.image.arrays import Pixels
from sida.image.perturbation import Step, apply

Matrix = NDArray[np.float64]


def scene(height: int = 240, width: int = 320, seed: int = 0) -> Pixels:
    """(height, width, 3) uint8: blots of many sizes and colours, no two alike, and a little noise.

    Its detail falls with frequency as that of photographs does.
    """
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128, np.float32)
    for sigma, strength in ((1.5, 14), (4, 24), (12, 36), (30, 50)):
        layer = cv2.GaussianBlur(rng.standard_normal((height, width, 3), np.float32), (0, 0), sigma)
        picture += strength * layer / layer.std()
    picture += rng.standard_normal(picture.shape, np.float32)
    return np.rint(picture).clip(0, 255).astype(np.uint8)


def similarity(scale: float, angle: float, x: float, y: float) -> Matrix:
    """The map that scales, turns by degrees, and shifts."""
    turn = np.radians(angle)
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[cosine, -sine, x], [sine, cosine, y]])


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """Stored as JPEG and read again."""
    return apply(pixels, None, [Step("jpeg", {"quality": quality})])[0]


def with_blot(pixels: Pixels, seed: int = 9) -> tuple[Pixels, NDArray[np.bool_]]:
    """With another scene in an ellipse, and the mask of that."""
    height, width = pixels.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    centre, axes = (width // 3, height // 2), (width // 6, height // 5)
    cv2.ellipse(mask, centre, axes, 20, 0, 360, 1, -1)
    other = scene(height, width, seed)
    return np.where(mask[..., None] > 0, other, pixels).astype(np.uint8), mask > 0


def overlap(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """F1 of two masks."""
    return float(2 * (predicted & truth).sum() / max(1, predicted.sum() + truth.sum()))
