"""`read_picture`: a picture, whatever it comes in, as upright 8-bit RGB."""

import hashlib
import os
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sida.errors import PictureError
from sida.files import Input
from sida.image.decode import Decoded, PictureMetadata, decode, decode_pillow, require_size

__all__ = [
    "MAX_PIXELS",
    "Picture",
    "Source",
    "file_bytes",
    "read_mask",
    "read_picture",
    "read_with_bytes",
]

MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 2 << 30  # twice what 100 megapixels of 16-bit RGBA take uncompressed


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, and what its file says of itself.

    Attributes:
        pixels: (height, width, 3) uint8, RGB, turned upright as EXIF says.
        format: "JPEG", "PNG", "MPO", "HEIF", …; None for arrays.
        name: as the user gave it; None for arrays and bytes without a name.
        sha256: of the file's bytes, in hexadecimal; None where there was no file.
        metadata: raw: `exif` and `icc` (bytes), `jpeg` (`JpegCoding`), `info` (Pillow's further
            fields, texts among them). Keys may be missing. It never changes a verdict.
        warnings: sentences for the verdict, such as "first of 12 frames".
    """

    pixels: NDArray[np.uint8]
    format: str | None = None
    name: str | None = None
    sha256: str | None = None
    metadata: PictureMetadata = field(default_factory=PictureMetadata)
    warnings: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])


Source = str | Path | bytes | Image.Image | NDArray[Any] | Picture | Input


def read_picture(source: Source, name: str | None = None, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read one picture.

    Args:
        source: a path; an `Input` of `sida.files`; a file's bytes; a Pillow image (its current
            frame); an array (height, width, 3) uint8 RGB; or a Picture, which comes back as it is.
        name: what to call it in messages and verdicts, if not by its path.
        max_pixels: larger pictures are refused by their header, before they are decoded.

    Raises:
        PictureError: its `code` is `not_found`, `too_large` or `unreadable_image`, its text one
            sentence for a person. Nothing else but MemoryError leaves this function.
    """
    return read_with_bytes(source, name, max_pixels)[0]


def read_with_bytes(
    source: Source, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> tuple[Picture, bytes | None]:
    """As `read_picture`, with the bytes of the file; None for what is no file."""
    if isinstance(source, Input):
        source, name = source.path, name or source.name
    if isinstance(source, str | Path):
        name = name or str(source)
    title = "the picture" if name is None else repr(name)
    if isinstance(source, Picture):
        return replace(_allowed(source, title, max_pixels), name=name or source.name), None
    if isinstance(source, np.ndarray):
        return _allowed(Picture(_checked_array(source, title), name=name), title, max_pixels), None
    if isinstance(source, Image.Image):
        return _picture(decode_pillow(source, title, max_pixels), name, None), None
    data = file_bytes(source, title)
    digest = hashlib.sha256(data).hexdigest()
    return _picture(decode(data, title, max_pixels), name, digest), data


def read_mask(source: str | Path | bytes, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Read a mask as grey levels (height, width) uint8, high = altered.

    `size` is the (height, width) of the picture it belongs to; another one is an error.

    Raises:
        PictureError: the file cannot be read, or its size is another one.
    """
    title = "the mask" if isinstance(source, bytes) else repr(str(source))
    levels = decode(file_bytes(source, title), title, MAX_PIXELS, "L").pixels
    if size is not None and levels.shape != size:
        (height, width), (needed_height, needed_width) = levels.shape, size
        raise PictureError(
            f"{title} is {width} x {height}, expected the picture's {needed_width} x "
            f"{needed_height}: save masks at the size of their picture"
        )
    return levels


def _picture(decoded: Decoded, name: str | None, digest: str | None) -> Picture:
    return Picture(decoded.pixels, decoded.format, name, digest, decoded.metadata, decoded.warnings)


def _checked_array(pixels: NDArray[Any], title: str) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise PictureError(
            f"{title} is an array {pixels.shape} of {pixels.dtype}, expected (height, width, 3) of "
            "uint8, RGB from 0 to 255: convert it first"
        )
    return np.ascontiguousarray(pixels)


def _allowed(picture: Picture, title: str, max_pixels: int) -> Picture:
    require_size((picture.width, picture.height), title, max_pixels)
    return picture


def file_bytes(source: object, title: str) -> bytes:
    """The whole file: it is hashed, and looked through before it is decoded."""
    if isinstance(source, str | Path):
        data = _read_file(Path(source), title)
    elif isinstance(source, bytes):
        data = source
    else:
        raise PictureError(
            f"{title} is of type {type(source).__name__}, expected a path, bytes, a Pillow image "
            "or an array (height, width, 3) of uint8"
        )
    if not data:
        raise PictureError(f"{title} is empty (0 bytes): copy or download it again")
    return data


def _read_file(path: Path, title: str) -> bytes:
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            _require_regular(os.fstat(file.fileno()), title)
            return file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PictureError(f"{title} was not found: check the path", "not_found") from error
    except IsADirectoryError as error:
        raise PictureError(f"{title} is a folder, expected one picture: name a file") from error
    except PermissionError as error:
        raise PictureError(f"{title} may not be read: ask for permission to read it") from error
    except (OSError, ValueError) as error:  # a path with a null byte is a ValueError
        raise PictureError(f"{title} cannot be read ({error}): check the path") from error


def _open_without_waiting(path: str, flags: int) -> int:
    """A named pipe that nobody writes to would block for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _require_regular(status: os.stat_result, title: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError
    if not stat.S_ISREG(status.st_mode):
        raise PictureError(f"{title} is a device or a pipe, expected a file: copy it to a file")
    if status.st_size > MAX_FILE_BYTES:
        raise PictureError(
            f"{title} has {status.st_size / 1e9:,.1f} GB, expected at most "
            f"{MAX_FILE_BYTES / 1e9:.1f} GB: save the picture in a smaller file",
            "too_large",
        )
