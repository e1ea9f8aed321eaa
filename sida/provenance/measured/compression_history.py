"""A picture's compression history: an earlier quality, and where the earlier grid lay."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sida.image.jpeg import JpegCoding
from sida.image.read import Picture
from sida.provenance.measured.blocks import Luma, jpeg_luma, luma_of, middle
from sida.provenance.measured.double_compression import previous_quality
from sida.provenance.measured.grid import Grid, earlier_grid, spread_after

__all__ = ["History", "history"]

LEAST_EVIDENCE = 0.05  # nats a block; pictures compressed once stay below 0.04
LEAST_STRENGTH = 6.0  # spreads; pictures that never were compressed stay below 4


class History(NamedTuple):
    """Traces of an earlier compression.

    Attributes:
        quality: of libjpeg's scale; None where none was found.
        offset: (left, top) pixels, modulo 8, that were cut off since; None where none was found.
    """

    quality: int | None = None
    offset: tuple[int, int] | None = None


def history(data: bytes | None, picture: Picture) -> History:
    """Traces of a compression before that of a JPEG file, or before lossless storage.

    A picture that EXIF turns is looked at as it is coded.
    """
    coding = picture.metadata.get("jpeg")
    if data is None or not isinstance(coding, JpegCoding):
        return _stored(luma_of(middle(picture.pixels)))
    luma = jpeg_luma(data)
    return History() if luma is None else _recompressed(luma, coding)


def _stored(luma: Luma) -> History:
    grid = earlier_grid(luma)
    if grid is None or grid.strength < LEAST_STRENGTH:
        return History()
    return History(_quality(luma, grid), (grid.left, grid.top))


def _recompressed(luma: Luma, coding: JpegCoding) -> History:
    """On the same grid first: most programs do not cut what they save."""
    steps = np.array(coding.tables[0])
    previous = previous_quality(luma, steps=steps)
    if (
        previous is not None
        and previous.evidence >= LEAST_EVIDENCE
        and previous.quality < coding.quality
    ):
        return History(previous.quality, (0, 0))
    grid = earlier_grid(luma, steps)
    quality = None if grid is None else _quality(luma, grid, steps)
    if grid is None or quality is None or quality >= coding.quality:
        return History()
    return History(quality, (grid.left, grid.top))


def _quality(luma: Luma, grid: Grid, steps: NDArray[np.int64] | None = None) -> int | None:
    """The quality that shows in a grid, through a later compression on another one if there was."""
    left, top = -grid.left % 8, -grid.top % 8
    quality = previous_quality(luma, left, top, rounding=spread_after(steps))
    return None if quality is None or quality.evidence < LEAST_EVIDENCE else quality.quality
