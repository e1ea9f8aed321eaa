"""A picture's compression history: an earlier quality, and where the earlier grid lay."""

from dataclasses import dataclass

import numpy as np

from sida.evidence.blocks import jpeg_luma, luma_of
from sida.evidence.grid import grid_votes, strongest
from sida.evidence.previous import previous_quality
from sida.image.jpeg import JpegCoding
from sida.image.read import Picture

__all__ = ["History", "history"]

LEAST_EVIDENCE = 0.05
LEAST_STRENGTH = 8.0


@dataclass(frozen=True)
class History:
    """What an earlier compression left.

    Attributes:
        quality: of libjpeg's scale; None where none was found.
        offset: (left, top) pixels modulo 8 that were cut off since; None where no grid was found.
    """

    quality: int | None = None
    offset: tuple[int, int] | None = None
    debug: tuple = ()


def history(data: bytes | None, picture: Picture) -> History:
    """What can be told of a JPEG's earlier compression, or of a compression before lossless storage.

    A picture whose EXIF turns it is looked at as it is coded.
    """
    coding = picture.metadata.get("jpeg")
    if data is not None and isinstance(coding, JpegCoding):
        luma = jpeg_luma(data)
        return History() if luma is None else _recompressed(luma, coding)
    luma = luma_of(picture.pixels)
    votes = grid_votes(luma)
    if votes is None:
        return History()
    grid = strongest(votes)
    if grid.strength < LEAST_STRENGTH:
        return History(debug=(grid,))
    found = previous_quality(luma, -grid.left % 8, -grid.top % 8)
    quality = found.quality if found and found.evidence >= LEAST_EVIDENCE else None
    return History(quality, (grid.left, grid.top), debug=(grid, found))


def _recompressed(luma, coding: JpegCoding) -> History:
    steps = np.array(coding.tables[0])
    found = previous_quality(luma, steps=steps)
    votes = grid_votes(luma)
    grid = None if votes is None else strongest(votes, without=(0, 0))
    quality = None
    if found is not None and found.evidence >= LEAST_EVIDENCE and found.quality < coding.quality:
        quality = found.quality
    offset = (grid.left, grid.top) if grid and grid.strength >= LEAST_STRENGTH else None
    return History(quality, offset, debug=(found, grid))
