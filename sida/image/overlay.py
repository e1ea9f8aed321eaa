"""Drawing what was found: mask over picture, heat map, panels side by side.

Nothing is told by hue alone: a region has a white line on a dark one around it, and the heat map
grows lighter with the probability, so both can be read by the colour-blind and in grey print.
"""

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sida.files import write_bytes
from sida.image.arrays import Pixels, altered_pixels
from sida.image.geometry import Box

__all__ = ["heat_map", "outlined", "overlay", "png_bytes", "save_png", "side_by_side"]


RED = np.array([230, 25, 35], np.float32)
LIGHT, DARK = 255, 20

# Eleven colours of matplotlib's "inferno" (CC0), whose lightness rises evenly.
_INFERNO = np.array(
    [
        (0, 0, 4), (22, 11, 57), (66, 10, 104), (106, 23, 110), (147, 38, 103), (188, 55, 84),
        (221, 81, 58), (243, 120, 25), (252, 165, 10), (246, 215, 70), (252, 255, 164),
    ]
)  # fmt: skip


def overlay(
    pixels: Pixels, mask: NDArray[Any], threshold: float = 0.5, opacity: float = 0.45
) -> Pixels:
    """The picture with the altered region in half-transparent red and a line around it.

    Args:
        pixels: (height, width, 3) uint8.
        mask: (height, width): bool, True = altered; uint8, high = altered; or floating-point
            probabilities 0-1.
        threshold: from which probability on a pixel belongs to the region.
        opacity: of the red, 0-1.

    Returns:
        (height, width, 3) uint8; `pixels` stays as it is.
    """
    region = _region(pixels, mask, threshold)
    result = pixels.copy()
    tint = (np.arange(256)[:, None] * (1 - opacity) + RED * opacity + 0.5).astype(np.uint8)
    for channel in range(3):
        result[..., channel][region] = tint[pixels[..., channel][region], channel]
    width = min(10, max(1, round(min(region.shape) / 300)))
    result[_grown(region, width) & ~region] = DARK
    result[_grown(~region, width) & region] = LIGHT
    return result


def heat_map(pixels: Pixels, probability: NDArray[Any], opacity: float = 0.65) -> Pixels:
    """The grey picture under colours from black (0) over red to light yellow (1).

    `pixels` (height, width, 3) uint8, `probability` (height, width) 0-1; returns the form of
    `pixels`.
    """
    _require_same_size(pixels, probability)
    levels = np.nan_to_num(probability).clip(0, 1) * 255
    colours = Image.fromarray(_palette()[levels.round().astype(np.uint8)])
    grey = Image.fromarray(pixels).convert("L").convert("RGB")
    return np.array(Image.blend(grey, colours, opacity))


def outlined(pixels: Pixels, boxes: Sequence[Box], texts: Sequence[str]) -> Pixels:
    """The picture with a white line on a dark one around each box, and a text in its corner.

    `pixels` (height, width, 3) uint8; returns the form of `pixels`.
    """
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    width = max(1, round(min(pixels.shape[:2]) / 200))
    font = ImageFont.load_default(size=max(12, 8 * width))
    for (left, top, right, bottom), text in zip(boxes, texts, strict=True):
        for grey, inset in ((DARK, 0), (LIGHT, width)):
            corners = (left + inset, top + inset, right - 1 - inset, bottom - 1 - inset)
            if corners[0] < corners[2] and corners[1] < corners[3]:
                draw.rectangle(corners, outline=(grey,) * 3, width=width)
        corner = (left + 3 * width, top + 3 * width)
        draw.text(corner, text, font=font, fill=(LIGHT,) * 3, stroke_width=width, stroke_fill=0)
    return np.array(picture)


def side_by_side(panels: Sequence[tuple[str, NDArray[Any]]], height: int = 320) -> Pixels:
    """Pictures in a row at one height, each over its caption, on white.

    Each panel is a caption and an array: (height, width, 3) uint8, (height, width) uint8, or a
    bool mask, which is drawn black and white.
    """
    if not panels:
        raise ValueError("found no panels, expected at least one (caption, array)")
    gap, line = max(4, height // 40), max(12, height // 18)
    pictures = [_at_height(array, height) for _, array in panels]
    width = sum(picture.width + gap for picture in pictures) + gap
    sheet = Image.new("RGB", (width, height + line + 3 * gap), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=line)
    left = gap
    for (caption, _), picture in zip(panels, pictures, strict=True):
        sheet.paste(picture, (left, gap))
        draw.text((left, height + 2 * gap), caption, font=font, fill=(40, 40, 40), anchor="lt")
        left += picture.width + gap
    return np.array(sheet)


def save_png(path: str | Path, pixels: NDArray[Any]) -> None:
    """Write (height, width, 3) or (height, width) uint8, or a bool mask as 0 and 255, as a PNG.

    Raises SidaError where the file cannot be written; it is there completely or not at all.
    """
    write_bytes(path, png_bytes(pixels))


def png_bytes(pixels: NDArray[Any]) -> bytes:
    """Bytes of the PNG that `save_png` writes."""
    file = io.BytesIO()
    Image.fromarray(_levels(pixels)).save(file, format="PNG")
    return file.getvalue()


def _region(pixels: Pixels, mask: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    _require_same_size(pixels, mask)
    if mask.dtype == np.bool_:
        return mask
    return altered_pixels(mask) if mask.dtype == np.uint8 else np.asarray(mask >= threshold)


def _require_same_size(pixels: Pixels, mask: NDArray[Any]) -> None:
    if mask.shape != pixels.shape[:2]:
        raise ValueError(
            f"the mask is {mask.shape}, expected (height, width) = {pixels.shape[:2]} of the "
            "picture: resize it to the picture first"
        )


def _grown(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Dilated by a square that reaches `by` pixels to each side, in few, growing steps."""
    reach = 0
    while reach < by:
        step = min(reach + 1, by - reach)  # a longer one would leave gaps beside the edges
        for axis in (0, 1):
            before, grown = np.moveaxis(mask, axis, 0), mask.copy()
            turned = np.moveaxis(grown, axis, 0)
            turned[step:] |= before[:-step]
            turned[:-step] |= before[step:]
            mask = grown
        reach += step
    return mask


@cache
def _palette() -> Pixels:
    """(256, 3) uint8."""
    stops = np.linspace(0, 255, len(_INFERNO))
    channels = [np.interp(np.arange(256), stops, _INFERNO[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def _at_height(array: NDArray[Any], height: int) -> Image.Image:
    picture = Image.fromarray(_levels(array)).convert("RGB")
    width = max(1, round(picture.width * height / picture.height))
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _levels(array: NDArray[Any]) -> Pixels:
    if array.dtype == np.bool_:
        return np.where(array, np.uint8(255), np.uint8(0))
    return np.asarray(array, np.uint8)
