"""`Sample`: one labelled picture, whatever set it comes from. Files are read when asked for.

A mask is (height, width) uint8 in the upright picture's pixels, high = altered.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sida.data.problems import Report
from sida.errors import PictureError
from sida.image.read import Picture, read_mask, read_picture
from sida.image.truth_mask import read_truth_mask

__all__ = ["Labelled", "Sample", "Stored", "header_of", "stored_bytes"]

_ORIENTATION = 0x0112
_TURNED = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


CellValue = bool | int | float | str
"""A cell of a further column of a table."""


@runtime_checkable
class Stored(Protocol):
    """A file's bytes that lie somewhere and are fetched when needed, as those of a path are."""

    def read_bytes(self) -> bytes:
        """The bytes of the file."""


def stored_bytes(source: bytes | Stored) -> bytes:
    """The bytes of a picture's or a mask's file, untouched.

    Raises PictureError where they cannot be fetched.
    """
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise PictureError(f"{str(source)!r} cannot be read: {reason}") from error


@dataclass(frozen=True, eq=False)
class Sample:
    """A labelled picture. Nothing is read before `read`, `read_mask` or `load` is called.

    Attributes:
        picture: where the file is (a path, or a row of a parquet file), or its bytes.
        label: "real", "full_synthetic" or "tampered".
        mask: the same for its mask; None for pictures that are not tampered, or have none.
        description: what the set says of it in words.
        source: where it comes from: a camera, a generator, a data set.
        group: shared by all pictures that have an original in common.
        name: unlike any other's in its set, such as "tampered/0012.png".
        tau: where the mask holds differences 0 to 255, the share of 255 above which a pixel counts
            as altered; None for masks that are to be taken as they are.
        more: what further columns of a table say of it, where they were asked for.
        report: where problems found while reading are noted.
    """

    picture: Stored | bytes
    label: str
    mask: Stored | bytes | None = None
    description: str | None = None
    source: str | None = None
    group: str | None = None
    name: str = ""
    tau: float | None = None
    more: Mapping[str, CellValue] = field(default_factory=dict, repr=False)
    report: Report = field(default_factory=Report, repr=False)

    def read(self) -> Picture:
        """The picture, upright RGB. Raises PictureError, which is noted in the report."""
        with self._problems_noted("unreadable"):
            return read_picture(_source(self.picture), name=self.name or None)

    def read_mask(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8] | None:
        """The mask at the picture's size (height, width) uint8, or None where there is none.

        It holds 0 and 255 by the rule of `sida.image.truth_mask`. A mask of another size is resized
        (nearest), one that cannot be read counts as none; what is unusual is noted in the report.
        `size` saves reading the picture's header where the caller has read the picture. Raises
        PictureError where the size of the picture cannot be had.
        """
        if self.mask is None:
            return None
        try:
            levels = self._levels(_source(self.mask))
        except PictureError as error:
            self.report.add("unreadable_mask", self.name, str(error))
            return None
        upright = size or self.size()
        if levels.shape != upright:
            levels = self._fitted(levels, upright)
        if self.label == "tampered" and not levels.any():
            self.report.add("empty_mask", self.name, "its mask marks nothing as altered")
        return levels

    def load(self) -> "Labelled":
        """Picture and mask together. Raises PictureError, which is noted in the report."""
        picture = self.read()
        return Labelled(self, picture, self.read_mask((picture.height, picture.width)), self)

    def _levels(self, source: Path | bytes) -> NDArray[np.uint8]:
        if self.tau is not None:
            return np.where(read_mask(source) > 255 * self.tau, 255, 0).astype(np.uint8)
        mask = read_truth_mask(source)
        if mask.reading is not None:
            code = "mask_cut" if mask.is_cut else "mask_levels"
            self.report.add(code, self.name, f"its mask {mask.reading}")
        return mask.levels

    def size(self) -> tuple[int, int]:
        """(height, width) of the upright picture, by its header where that will do.

        Raises PictureError, which is noted in the report.
        """
        try:
            with Image.open(header_of(self.picture)) as image:
                width, height = image.size
                return (width, height) if _turn(image) is not None else (height, width)
        except Exception:  # a kind of picture that only `read` knows, or a broken one: it will say
            picture = self.read()
            return picture.height, picture.width

    def _fitted(self, levels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        """The mask at the size of its picture, and a line that says what was done."""
        (height, width), (needed_height, needed_width) = levels.shape, size
        image = Image.fromarray(levels)
        if (width, height) == size and (turn := self._turned()) is not None:
            self.report.add("mask_turned", self.name, "its mask was not turned upright with it")
            return np.array(image.transpose(turn))
        self.report.add(
            "mask_size",
            self.name,
            f"its mask is {width} x {height}, the picture {needed_width} x {needed_height}: it was "
            "resized (nearest); save masks at the size of their picture",
        )
        return np.array(image.resize((needed_width, needed_height), Image.Resampling.NEAREST))

    def _turned(self) -> Image.Transpose | None:
        """How EXIF turns the picture by a quarter, if it does."""
        try:
            with Image.open(header_of(self.picture)) as image:
                return _turn(image)
        except Exception:  # no header that Pillow knows
            return None

    @contextmanager
    def _problems_noted(self, code: str) -> Iterator[None]:
        try:
            yield
        except PictureError as error:
            self.report.add(code, self.name, str(error))
            raise


@dataclass(frozen=True, eq=False)
class Labelled:
    """A sample that has been read.

    Attributes:
        sample: the one that was asked for.
        picture: its pixels.
        mask: (height, width) uint8, high = altered; None where it has none.
        in_memory: the sample again, with its files' bytes where these lie in a table.
    """

    sample: Sample
    picture: Picture
    mask: NDArray[np.uint8] | None
    in_memory: Sample


def _source(stored: Stored | bytes) -> Path | bytes:
    """Paths go on as they are, so that messages name them; all else as bytes."""
    return stored if isinstance(stored, Path) else stored_bytes(stored)


def header_of(stored: Stored | bytes) -> Path | io.BytesIO:
    """A path or stream that Pillow can read a header from."""
    return stored if isinstance(stored, Path) else io.BytesIO(stored_bytes(stored))


def _turn(image: Image.Image) -> Image.Transpose | None:
    return _TURNED.get(image.getexif().get(_ORIENTATION, 1))
