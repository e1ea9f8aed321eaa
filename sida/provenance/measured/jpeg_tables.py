"""Whose quantisation tables a JPEG has: libjpeg's, Photoshop's, or somebody's own."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from PIL import JpegPresets

from sida.image.jpeg import JpegCoding, Tables, quality_tables

__all__ = ["table_family"]


def table_family(coding: JpegCoding) -> str:
    """In words: "libjpeg, quality 90", "Photoshop, high", or that no known program has them."""
    if coding.exact:
        return f"libjpeg, quality {coding.quality}"
    if (preset := _presets().get(coding.tables[:2])) is not None:
        return f"Photoshop, {preset}"
    luma, chroma = (_quality(coding.tables[: index + 1], index) for index in (0, 1))
    if len(coding.tables) > 1 and luma is not None and chroma is not None:
        return f"libjpeg, quality {luma} of luma and {chroma} of chroma"
    return "a camera's or a program's own"


@cache
def _presets() -> dict[Tables, str]:
    """Those of "Save As" and, as "web …", of "Save for Web", which Pillow knows."""
    presets: Mapping[str, Any] = JpegPresets.presets
    return {
        tuple(tuple(table) for table in preset["quantization"]): name.replace("_", " ")
        for name, preset in presets.items()
    }


def _quality(tables: Tables, index: int) -> int | None:
    """The quality whose table of that index is this one; None without such a table."""
    if len(tables) <= index:
        return None
    table = np.array(tables[index])
    for quality in range(100, 0, -1):
        if np.array_equal(quality_tables(quality)[index], table):
            return quality
    return None
