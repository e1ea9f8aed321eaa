"""Differences inside a picture that are no tampering: dates, frames, screens, depth of field.

A detector that only looks for parts that differ from the rest accuses these. They are put on a
photograph before it is altered, and are never part of a mask.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sida.forge.lettering import draw_words, random_date, random_words
from sida.forge.regions import draw_region
from sida.image.arrays import Pixels

__all__ = ["DECORATIONS", "Decoration", "decorate"]


@dataclass(frozen=True)
class Decoration:
    """Something that is done to a picture (height, width, 3) uint8, and how often."""

    function: Callable[[Pixels, np.random.Generator], Pixels]
    weight: float


def decorate(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, str]:
    """The picture, in its size, with one random decoration, and the name of it."""
    # Adding a decoration changes what a seed gives: the choice goes by the table's order.
    weights = np.array([decoration.weight for decoration in DECORATIONS.values()])
    name = list(DECORATIONS)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    return DECORATIONS[name].function(pixels, rng), name


def _inked(
    pixels: Pixels, ink: NDArray[np.float32], corner: tuple[int, int], colour: NDArray[np.float64]
) -> Pixels:
    """The picture with ink (height, width; 0 to 1) of a colour, its top left at row, column."""
    top, left = corner
    part = np.s_[top : top + ink.shape[0], left : left + ink.shape[1]]
    under, result = pixels[part].astype(np.float32), pixels.copy()
    alpha = ink[: under.shape[0], : under.shape[1], None]
    result[part] = np.rint(under + alpha * (colour - under)).clip(0, 255).astype(np.uint8)
    return result


def _date(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A date in a corner, as cameras burn it in."""
    height, width = pixels.shape[:2]
    tall = max(10, round(height * float(rng.uniform(0.05, 0.1))))
    long = min(width, max(96, round(width * float(rng.uniform(0.35, 0.5)))))
    margin = round(0.03 * height)
    top = height - tall - margin if rng.random() < 0.8 else margin
    left = max(0, width - long - margin) if rng.random() < 0.7 else 0
    colours = np.array([[255, 140, 20], [255, 220, 60], [255, 255, 255], [255, 60, 40]], float)
    ink = draw_words(random_date(rng), (tall, long), rng)
    return _inked(pixels, ink, (top, left), colours[int(rng.integers(4))])


def _watermark(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Translucent words, once across the picture or as a pattern all over it."""
    height, width = pixels.shape[:2]
    text = random_words(rng, 1, 2)
    if tiled := bool(rng.random() < 0.5):
        tall, long = max(12, height // 8), max(48, width // 3)
    else:
        tall, long = max(16, height // 4), width
    ink = draw_words(text, (tall, long), rng)
    if tiled:
        ink = np.tile(ink, (2 * height // tall + 2, 2 * width // long + 2))
    # Twice the sides, so that turned words reach into the corners.
    canvas = np.zeros((2 * height, 2 * width), np.float32)
    top, left = (height - tall // 2, width - long // 2) if not tiled else (0, 0)
    ink = ink[: canvas.shape[0] - top, : canvas.shape[1] - left]
    canvas[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    angle = float(rng.choice((0, 0, 30, 45, -30)))
    turn = cv2.getRotationMatrix2D((width, height), angle, 1)
    turned = cv2.warpAffine(canvas, turn, (2 * width, 2 * height))
    inner = turned[height // 2 : height // 2 + height, width // 2 : width // 2 + width]
    colour = np.full(3, 255.0 if rng.random() < 0.8 else 0.0)
    return _inked(pixels, inner * np.float32(rng.uniform(0.15, 0.55)), (0, 0), colour)


def _caption(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Words on a bar, or outlined on the picture, at the top or at the bottom."""
    height, width = pixels.shape[:2]
    tall = max(14, round(height * float(rng.uniform(0.08, 0.18))))
    top = height - tall if rng.random() < 0.7 else 0
    ink = draw_words(random_words(rng, 2, 5), (tall, width), rng)
    bar, white = bool(rng.random() < 0.6), bool(rng.random() < 0.6)
    colour, contrast = np.full(3, 255.0 * white), np.full(3, 255.0 * (not white))
    around = np.full_like(ink, rng.uniform(0.5, 1)) if bar else cv2.dilate(ink, np.ones((3, 3)))
    ground = _inked(pixels, np.asarray(around, np.float32), (top, 0), contrast)
    return _inked(ground, ink, (top, 0), colour)


def _frame(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A border of one colour, sometimes with round corners; or only darker corners."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    if rng.random() < 0.2:
        shade = 1 - rng.uniform(0.3, 0.8) * ((x**2 + y**2) / 2) ** rng.uniform(1, 2)
        return np.asarray(np.rint(pixels * shade[..., None]).clip(0, 255), np.uint8)
    edge = max(2, round(min(height, width) * float(rng.uniform(0.01, 0.1))))
    radius = edge + int(rng.integers(0, 40)) if rng.random() < 0.4 else 0
    inner = np.zeros((height, width), np.uint8)
    cv2.rectangle(
        inner, (edge + radius, edge), (width - 1 - edge - radius, height - 1 - edge), 1, -1
    )
    cv2.rectangle(
        inner, (edge, edge + radius), (width - 1 - edge, height - 1 - edge - radius), 1, -1
    )
    for column in (edge + radius, width - 1 - edge - radius):
        for row in (edge + radius, height - 1 - edge - radius):
            cv2.circle(inner, (column, row), radius, 1, -1)
    plain = rng.choice(np.array([0, 255, 128])) if rng.random() < 0.7 else rng.integers(0, 256, 3)
    return np.where(inner[..., None] > 0, pixels, plain).astype(np.uint8)


def _screen(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Shown smaller in the window of a program, with its bar, buttons and words."""
    height, width = pixels.shape[:2]
    dark = bool(rng.random() < 0.5)
    ground = int(rng.integers(20, 50)) if dark else int(rng.integers(225, 256))
    ink = np.full(3, 255.0 - ground)
    result = np.full_like(pixels, ground)
    bar = max(12, round(height * float(rng.uniform(0.05, 0.1))))
    side = round(width * float(rng.uniform(0.1, 0.3))) if rng.random() < 0.5 else 0
    foot = bar if rng.random() < 0.5 else 0
    room = (height - bar - foot, width - side)
    content = cv2.resize(pixels, room[::-1], interpolation=cv2.INTER_AREA)
    result[bar : bar + room[0], side:] = content
    result[:bar] = (result[:bar].astype(int) + (20 if dark else -20)).clip(0, 255)
    result = _inked(
        result, draw_words(random_words(rng), (bar, width // 2), rng), (0, width // 4), ink
    )
    for number in range(3):
        centre = (width - round((number + 0.7) * bar), bar // 2)
        cv2.circle(
            result, centre, max(2, bar // 5), rng.integers(60, 240, 3).tolist(), -1, cv2.LINE_AA
        )
    if side:
        for row in range(bar + 6, height - foot - 16, 18):
            words = draw_words(random_words(rng, 1, 2), (14, max(16, side - 6)), rng)
            result = _inked(result, words, (row, 3), ink)
    return result


def _depth_of_field(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Sharp in one region or at one distance, and blurred more and more away from it."""
    height, width = pixels.shape[:2]
    if rng.random() < 0.5:
        region = draw_region(pixels, rng, {"superpixels": 2, "shape": 1}, (0.1, 0.4))
        away = cv2.distanceTransform((~region.mask).astype(np.uint8), cv2.DIST_L2, 5)
        away = away / (float(rng.uniform(0.02, 0.25)) * max(height, width))
    else:
        focus = float(rng.uniform(0.2, 0.9))
        rows = np.abs(np.linspace(0, 1, height) - focus) / rng.uniform(0.3, 0.7)
        away = np.repeat(rows[:, None], width, axis=1)
    away = np.clip(away, 0, 1)[..., None]
    sigma = float(rng.uniform(1.5, 6))
    half, full = (
        cv2.GaussianBlur(pixels, (0, 0), strength).astype(np.float32)
        for strength in (sigma / 2, sigma)
    )
    # Two blurs and their mixtures stand for a blur that grows with distance.
    near = pixels + np.minimum(2 * away, 1) * (half - pixels)
    result = near + np.maximum(2 * away - 1, 0) * (full - near)
    return np.asarray(np.rint(result), np.uint8)


def _cut_out(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A thing alone on a plain, mostly white ground, as shops show it."""
    region = draw_region(pixels, rng, {"superpixels": 2, "shape": 1}, (0.2, 0.6))
    ground = 255 if rng.random() < 0.75 else rng.integers(0, 256, 3)
    soft = cv2.GaussianBlur(region.mask.astype(np.float32), (0, 0), rng.uniform(0.5, 1.5))[
        ..., None
    ]
    return (
        np.rint(ground + soft * (pixels.astype(np.float32) - ground)).clip(0, 255).astype(np.uint8)
    )


def _panorama(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Strips of unlike exposure beside each other, their seams faded, bent at top and bottom."""
    height, width = pixels.shape[:2]
    gains = rng.uniform(0.8, 1.2, int(rng.integers(2, 5)))
    positions = np.linspace(0, len(gains), width, endpoint=False)
    seam = float(rng.uniform(0.02, 0.2))
    gain = np.full(width, gains[0])
    for number in range(1, len(gains)):
        share = np.clip((positions - number) / seam + 0.5, 0, 1)
        gain = gain + share * (gains[number] - gains[number - 1])
    result = np.asarray(np.rint(pixels * gain[:, None]).clip(0, 255), np.uint8)
    if rng.random() < 0.5:
        bend = (0.03 + 0.05 * rng.random()) * height * np.linspace(-1, 1, width) ** 2
        rows = np.arange(height)[:, None]
        result[(rows < bend) | (rows >= height - bend)] = 0
    return result


DECORATIONS: Mapping[str, Decoration] = {
    "date": Decoration(_date, 1.5),
    "watermark": Decoration(_watermark, 1.5),
    "caption": Decoration(_caption, 1.5),
    "frame": Decoration(_frame, 1),
    "screen": Decoration(_screen, 1),
    "depth_of_field": Decoration(_depth_of_field, 2),
    "cut_out": Decoration(_cut_out, 1),
    "panorama": Decoration(_panorama, 0.75),
}
"""By name."""
