"""Measurements of a picture's pixels and coding, each with its meaning and its limits."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sida.image.arrays import Pixels
from sida.image.geometry import bounding_box
from sida.image.jpeg import JpegCoding
from sida.image.overlay import heat_map
from sida.image.read import Picture
from sida.provenance.measured.blocks import luma_of, middle
from sida.provenance.measured.compression_history import history
from sida.provenance.measured.copy_move import Copy, copied_regions
from sida.provenance.measured.jpeg_tables import table_family
from sida.provenance.measured.maps import (
    error_level_map,
    in_strips,
    noise_map,
    sharpness_map,
    unevenness,
)
from sida.provenance.measured.resampling import enlargement
from sida.provenance.measured.thumbnail import thumbnail_likeness
from sida.verdict import Measured

__all__ = ["MAPS", "MEASURES", "Draw", "Measure", "measurements"]

Draw = Callable[[str, Pixels], None]
"""Takes a map's name and its picture (height, width, 3) uint8."""


@dataclass(frozen=True)
class Measure:
    """A kind of measurement: the unit of its value, what it means, what not, where it is from."""

    unit: str | None
    meaning: str
    limits: str
    source: str


MEASURES: Mapping[str, Measure] = MappingProxyType({
    "quantization_tables": Measure(
        None,
        "How the file was compressed last, and whose tables that took.",
        "Not who did it: most programs use libjpeg's tables, and tables can be copied.",
        "ITU-T T.81; libjpeg; Pillow's presets of Photoshop",
    ),
    "previous_quality": Measure(
        "libjpeg quality",
        "The picture was compressed before, with this quality or tables much like it.",
        "Not that it was altered: sending, resizing and saving again compress, too. None found "
        "does not mean once: a lower quality afterwards wipes out what came before.",
        "after Lukáš and Fridrich, 2003",
    ),
    "grid_offset": Measure(
        "pixels (left, top), modulo 8",
        "So much was cut off at the left and at the top since the earlier compression.",
        "Cutting is no forgery, and a cut by multiples of 8 leaves [0, 0].",
        "after Luo, Huang and Qiu, 2007; Bianchi and Piva, 2012",
    ),
    "thumbnail_likeness": Measure(
        "correlation, -1 to 1",
        "How much the thumbnail inside the file shows the same as the picture.",
        "A low value says that the picture was changed and the thumbnail was not; a high one does "
        "not say that it is untouched, for most programs write a new thumbnail.",
        "E. Kee and H. Farid, 2010",
    ),
    "enlargement": Measure(
        "times, each side",
        "Pixels repeat the pattern of an enlargement by this factor.",
        "Not found after reduction, and seldom after strong compression; 1.14, 1.33 and 1.6 look "
        "like JPEG's blocks and are not told. Phones enlarge by themselves (digital zoom).",
        "A. Gallagher, 2005",
    ),
    "copied_regions": Measure(
        "regions",
        "These parts are the same up to a turn, a scale and noise: one was copied from the other.",
        "Which of the two came first cannot be told. Things that truly are alike, such as print, "
        "windows or drawn shapes, can be taken for copies; smooth copies are missed.",
        "after Amerini et al., 2011",
    ),
    "noise": Measure(
        "90th over 10th percentile",
        "How unevenly noise is spread over the picture.",
        "Focus, light and compression make it uneven in untouched pictures, too.",
        "J. Immerkær, 1996",
    ),
    "sharpness": Measure(
        "90th over 10th percentile",
        "How unevenly sharpness is spread over the picture.",
        "A lens does the same: background and foreground differ in every photograph.",
        "second over first differences",
    ),
    "error_level": Measure(
        "90th over 10th percentile",
        "How unevenly one more compression changes the picture.",
        "Edges and textures always stand out. Bright parts are no sign of a change by themselves.",
        "N. Krawetz, 2007",
    ),
})  # fmt: skip
"""All that is measured, in the order in which it is told."""

_HEATS: Mapping[str, Callable[[Pixels], NDArray[np.float32]]] = MappingProxyType({
    "noise": noise_map, "sharpness": sharpness_map, "error_level": error_level_map,
})  # fmt: skip
MAPS = ("copied_regions", *_HEATS)
"""Names of measures that are drawn."""


def measurements(
    data: bytes | None, picture: Picture, thumbnail: bytes | None, draw: Draw | None = None
) -> list[Measured]:
    """All measures that the picture allows; one whose value is None was looked for and not found.

    Args:
        data: the file's bytes, where there is a file.
        thumbnail: the embedded one, where there is one.
        draw: called for each of `MAPS`.
    """
    measured = []
    for name, value in _values(data, picture, thumbnail, draw):
        texts = vars(MEASURES[name])
        if draw is not None and name in _HEATS:
            texts = {**texts, "meaning": f"{MEASURES[name].meaning} The map shows where."}
        measured.append(Measured(name=name, value=value, **texts))
    return measured


def _values(
    data: bytes | None, picture: Picture, thumbnail: bytes | None, draw: Draw | None
) -> Iterator[tuple[str, Any]]:
    pixels = picture.pixels
    coding = picture.metadata.get("jpeg")
    if isinstance(coding, JpegCoding):
        yield "quantization_tables", _coding(coding)
    earlier = history(data, picture)
    yield "previous_quality", earlier.quality
    yield "grid_offset", None if earlier.offset is None else list(earlier.offset)
    if thumbnail is not None:
        yield "thumbnail_likeness", thumbnail_likeness(thumbnail, pixels)
    yield "enlargement", enlargement(luma_of(middle(pixels)))
    copies = copied_regions(pixels)
    yield "copied_regions", [_as_json(copy) for copy in copies] or None
    if draw is not None:
        draw("copied_regions", _outlined_copies(pixels, copies))
    for name, measure in _HEATS.items():
        values = in_strips(measure, pixels)
        yield name, unevenness(values)
        if draw is not None and values.size:
            draw(name, _heat(pixels, values))


def _coding(coding: JpegCoding) -> dict[str, Any]:
    return {
        "family": table_family(coding),
        "nearest_quality": coding.quality,
        "exact": coding.exact,
        "subsampling": coding.subsampling,
        "progressive": coding.progressive,
    }


def _as_json(copy: Copy) -> dict[str, Any]:
    return {
        "boxes": [list(bounding_box(mask) or ()) for mask in (copy.first, copy.second)],
        "area": round(float(copy.first.mean()), 4),
        "angle": copy.angle,
        "scale": copy.scale,
        "mirrored": copy.mirrored,
    }


def _outlined_copies(pixels: Pixels, copies: list[Copy]) -> Pixels:
    """Both regions of each copy in white outlines, joined by a line."""
    import cv2

    background = np.asarray(pixels // 2 + 40, np.uint8)
    wide = max(2, round(max(pixels.shape[:2]) / 300))
    for copy in copies:
        middles = []
        for mask in (copy.first, copy.second):
            background[mask] = pixels[mask]
            outlines, _ = cv2.findContours(
                mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
            )
            cv2.drawContours(background, outlines, -1, (255, 255, 255), wide)
            rows, columns = np.nonzero(mask)
            middles.append((int(columns.mean()), int(rows.mean())))
        cv2.line(background, middles[0], middles[1], (255, 255, 255), wide)
    return background


def _heat(pixels: Pixels, values: NDArray[np.float32]) -> Pixels:
    """From the map's 2nd percentile (black) to its 98th (light)."""
    import cv2

    low, high = np.percentile(values, (2, 98))
    share = ((values - low) / max(float(high - low), 1e-6)).clip(0, 1)
    height, width = pixels.shape[:2]
    return heat_map(pixels, cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR))
