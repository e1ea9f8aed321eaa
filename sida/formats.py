"""Image formats in one table: how files are named, decoded and written, and what the page accepts.

A new format is one row here, and for another decoder than Pillow's a branch in `image.decode`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "FORMATS",
    "PAGE_ACCEPTS",
    "PICTURE_SUFFIXES",
    "ImageFormat",
    "alternatives",
    "suffix_of",
]


@dataclass(frozen=True)
class ImageFormat:
    """A format of picture files.

    Attributes:
        name: as Pillow, verdicts and tables of a data set call it.
        title: as people call it.
        suffixes: of its files, in small letters; files that are written get the first.
        media_type: of its files over HTTP.
        decoder: the library that opens it; None where it comes out of another format's decoder.
        is_common: whether messages name it among what is read.
        needs_suffix: whether browsers may leave it out of `image/*`, so that the page names it.
        longest_side: pixels of the longer side that can be written; None without such a limit.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    media_type: str
    decoder: Literal["pillow", "pillow_heif"] | None = "pillow"
    is_common: bool = True
    needs_suffix: bool = False
    longest_side: int | None = None


# In the order in which decoders are asked.
FORMATS = (
    ImageFormat(
        "JPEG", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), "image/jpeg", longest_side=65_500
    ),
    ImageFormat("PNG", "PNG", (".png", ".apng"), "image/png"),
    ImageFormat("WEBP", "WebP", (".webp",), "image/webp", longest_side=16_383),
    ImageFormat("GIF", "GIF", (".gif",), "image/gif"),
    ImageFormat("TIFF", "TIFF", (".tif", ".tiff"), "image/tiff", needs_suffix=True),
    ImageFormat("BMP", "BMP", (".bmp",), "image/bmp"),
    ImageFormat("AVIF", "AVIF", (".avif",), "image/avif", needs_suffix=True),
    ImageFormat(
        "HEIF", "HEIC", (".heic", ".heif", ".hif"), "image/heif", "pillow_heif", needs_suffix=True
    ),
    ImageFormat(
        "PPM", "PPM", (".ppm", ".pgm", ".pbm", ".pnm"), "image/x-portable-anymap", is_common=False
    ),
    # Several JPEGs in one file; Pillow's decoder of JPEG finds out that it is one.
    ImageFormat("MPO", "MPO", (".jpg", ".mpo"), "image/mpo", None, is_common=False),
)

PICTURE_SUFFIXES = frozenset(suffix for format in FORMATS for suffix in format.suffixes)

PAGE_ACCEPTS = frozenset(
    {"image/*"}
    | {suffix for format in FORMATS if format.needs_suffix for suffix in format.suffixes}
)
"""Parts of the attribute `accept` of the page's file chooser."""


def suffix_of(name: str) -> str:
    """The suffix that files of a format are written with; of an unknown one, its name."""
    rows = (format for format in FORMATS if format.name == name)
    return next((format.suffixes[0] for format in rows), f".{name.lower()}")


def alternatives(words: Sequence[str]) -> str:
    """Two or more words as a sentence lists them: "JPEG, PNG or WebP"."""
    return f"{', '.join(words[:-1])} or {words[-1]}"
