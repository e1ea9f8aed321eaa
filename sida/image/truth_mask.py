"""`read_truth_mask`: masks as people save them, as altered or not, by one rule.

Altered is what is not background. Of two values the higher one is altered, whichever they are; of
more, those from half of their range on. A palette of colours is read by its indices: all but 0
(or black, where 0 is another colour) and the void index 255. What is transparent is background.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sida.image import tiff
from sida.image.decode import read_image, upright
from sida.image.read import MAX_PIXELS, file_bytes

__all__ = ["TruthMask", "read_truth_mask", "truth_mask"]

VOID = 255
MAX_LISTED = 5
"""Values that a sentence names before it gives the two ends alone."""

_LUMA = (299, 587, 114)  # thousandths of red, green and blue
_COUNTED = 1 << 19
"""Values up to which counting them is quicker than sorting."""
_AT_ONCE = 1 << 22  # pixels
_OTHER_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
"""Pillow's names for 16-bit samples of which the other byte is kept."""


@dataclass(frozen=True, eq=False)
class TruthMask:
    """A mask that says which pixels were altered.

    Attributes:
        levels: (height, width) uint8, 255 = altered, 0 = not.
        reading: which values the file has and how they were read, in words that follow "its mask";
            None for plain masks of 0 and 255.
        is_cut: whether there were more than two values, so that some lost their meaning.
    """

    levels: NDArray[np.uint8]
    reading: str | None = None
    is_cut: bool = False


@dataclass(frozen=True, eq=False)
class _Samples:
    """A number a pixel, equal for equal shades alone; alpha, where there is one; and how many of
    these numbers (`scale`) make one level as people know it."""

    values: NDArray[Any]
    alpha: NDArray[np.uint8] | None = None
    scale: int = 1

    def label(self, value: float) -> str:
        return (
            f"{value / self.scale:.4g}"
            if self.values.dtype.kind == "f"
            else (f"{value / self.scale:.0f}")
        )


def read_truth_mask(source: str | Path | bytes) -> TruthMask:
    """The mask in a file, upright. Raises PictureError where it cannot be read."""
    title = "the mask" if isinstance(source, bytes) else repr(str(source))
    data = file_bytes(source, title)
    mask = read_image(data, title, MAX_PIXELS, truth_mask)[0]
    if _is_flat(mask) and _has_deep_colours(data):
        # Pillow drops the low bytes of colours of 16 bits, and they may be all that there is.
        low = read_image(data, title, MAX_PIXELS, truth_mask, _OTHER_BYTES)[0]
        return mask if _is_flat(low) else low
    return mask


def _is_flat(mask: TruthMask) -> bool:
    return not mask.levels.any() or bool(mask.levels.all())


def _has_deep_colours(data: bytes) -> bool:
    """True if the header is that of a PNG of 16-bit RGB or RGBA."""
    return data[12:16] == b"IHDR" and data[24] == 16 and data[25] in (2, 6)


def truth_mask(image: Image.Image) -> TruthMask:
    """The mask that a decoded Pillow image holds."""
    mask = _by_index(image) if image.mode == "P" else None
    mask = _by_level(_samples(image)) if mask is None else mask
    levels = np.asarray(upright(Image.fromarray(mask.levels), image))
    return TruthMask(levels, mask.reading, mask.is_cut)


def _by_index(image: Image.Image) -> TruthMask | None:
    """The mask of a palette of colours; None where these are grey, or some are transparent."""
    indices = [index for index, count in enumerate(image.histogram()[:256]) if count]
    palette = image.getpalette("RGB") or []
    colours = [tuple(palette[3 * index : 3 * index + 3]) or (0, 0, 0) for index in indices]
    is_grey = all(len(set(colour)) == 1 for colour in colours)
    if _has_transparency(image, indices) or (is_grey and len(set(colours)) == len(indices)):
        return None
    background = _background(indices, colours)
    foreground = [index for index in indices if index not in background]
    table = [0 if index in background else 255 for index in range(256)]
    noun, verb = ("index", "counts") if len(foreground) == 1 else ("indices", "count")
    words = "is a palette without a marked index"
    if foreground:
        words = f"is a palette, of which {noun} {_value_list(foreground)} {verb} as altered"
    if VOID in background:
        words += f", {VOID} (void) does not"
    levels = np.asarray(table, np.uint8)[np.asarray(image)]
    return TruthMask(levels, words)


def _background(indices: Sequence[int], colours: Sequence[tuple[int, ...]]) -> set[int]:
    """Index 0 and the void; black, where a program sorted the colours and put it elsewhere."""
    black = {index for index, colour in zip(indices, colours, strict=True) if not any(colour)}
    is_plain = not black or 0 in black or len(black) == len(indices)
    return ({0} if is_plain else black) | ({VOID} & {*indices} if len(indices) > 1 else set())


def _has_transparency(image: Image.Image, indices: Sequence[int]) -> bool:
    """True if the indices in use differ in their alpha."""
    transparency = image.info.get("transparency")
    if isinstance(transparency, bytes):
        alphas = transparency.ljust(256, b"\xff")
        return len({alphas[index] for index in indices}) > 1
    return transparency in indices and len(indices) > 1


def _samples(image: Image.Image) -> _Samples:
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = tiff.samples(image)
        return _Samples(np.nan_to_num(values) if values.dtype.kind == "f" else values)
    if image.mode == "L" and not image.has_transparency_data:
        return _Samples(np.asarray(image))
    pixels = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    alpha = pixels[..., 3] if pixels.shape[2] == 4 else None
    if all(np.array_equal(pixels[..., 0], pixels[..., band]) for band in (1, 2)):
        return _Samples(pixels[..., 0], alpha)
    # Not rounded: the darkest of colours is still another value than black.
    luma = pixels[..., :3].astype(np.int32) @ np.array(_LUMA, np.int32)
    return _Samples(luma, alpha, sum(_LUMA))


def _by_level(samples: _Samples) -> TruthMask:
    """Where transparency says something, what is transparent is background; and colours that
    nobody sees are whatever a program left there."""
    alpha = samples.alpha
    if alpha is None or alpha.min() == alpha.max():
        return _by_value(samples)
    visible = alpha >= max(1, (int(alpha.max()) + 1) // 2)
    shades = _distinct(samples.values[visible])
    if len(shades) == 2 and shades[0] == 0:
        return _by_value(_Samples(np.where(visible, samples.values, 0), None, samples.scale))
    mask = _by_value(_Samples(alpha))
    words = "lies in the alpha channel" + (f" and {mask.reading}" if mask.reading else "")
    return TruthMask(mask.levels, words, mask.is_cut)


def _by_value(samples: _Samples) -> TruthMask:
    values = samples.values
    distinct = _distinct(values)
    low, high = distinct[0], distinct[-1]
    if len(distinct) > 2:
        middle = low + (high - low) / 2
        return TruthMask(_binary(values >= middle), _cut(samples, distinct, middle), is_cut=True)
    altered = values == high if high != 0 or len(distinct) == 2 else np.zeros(values.shape, bool)
    return TruthMask(_binary(altered), _two(samples, distinct))


def _distinct(values: NDArray[Any]) -> list[float]:
    """The values that there are, ascending."""
    flat = values.ravel()
    if values.dtype.kind == "f" or int(flat.min()) < 0 or int(flat.max()) >= _COUNTED:
        return [float(value) for value in np.unique(flat)]
    counts = np.zeros(int(flat.max()) + 1, np.int64)
    for start in range(0, len(flat), _AT_ONCE):  # counting makes numbers of 8 bytes of them
        counts += np.bincount(flat[start : start + _AT_ONCE], minlength=len(counts))
    return np.flatnonzero(counts).astype(float).tolist()


def _binary(altered: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return altered.astype(np.uint8) * np.uint8(255)


def _two(samples: _Samples, distinct: Sequence[float]) -> str | None:
    if samples.values.dtype == np.uint8 and {*distinct} <= {0.0, 255.0}:
        return None
    low, high = samples.label(distinct[0]), samples.label(distinct[-1])
    if len(distinct) == 2:
        return f"holds {low} and {high}: {high} counts as altered"
    is_colour = samples.scale > 1  # of which nobody expects 255
    return None if is_colour or not distinct[0] else f"holds {high} alone, which counts as altered"


def _cut(samples: _Samples, distinct: Sequence[float], middle: float) -> str:
    """The levels, and as an example the highest one that is lost."""
    labels = [samples.label(value) for value in distinct]
    is_short = len(distinct) <= MAX_LISTED
    levels = (
        _value_list(labels)
        if is_short
        else f"{len(labels)} levels from {labels[0]} to {labels[-1]}"
    )
    words = f"has {'levels ' * is_short}{levels}"
    unaltered = [value for value in distinct if distinct[0] < value < middle]
    if not unaltered:
        return f"{words}: all but {labels[0]} count as altered"
    share = float(((samples.values > distinct[0]) & (samples.values < middle)).mean())
    example = f"{samples.label(unaltered[-1])} counts as unaltered"
    return f"{words}: {example} ({_percent(share)} of the pixels lie between)"


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "less than 0.1%"


def _value_list(values: Sequence[object]) -> str:
    return ", ".join(map(str, values[:MAX_LISTED])) + (", …" if len(values) > MAX_LISTED else "")
