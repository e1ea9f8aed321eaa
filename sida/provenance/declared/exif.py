"""EXIF: camera, software and times as fields; what leads to a person only where it is asked for."""

import math
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD

from sida.provenance.declared.user_comment import decode_comment

__all__ = ["EXIF_NAMES", "PERSONAL", "Exif", "is_unset", "read_exif"]

MAX_LENGTH = 4 << 20  # of one value
_HEAD = b"Exif\0\0"
_UNSET = re.compile(r"[\s\0:./+-]*|0000[-:/. ]00[-:/. ]00([T ][0:.Z+-]*)?")
_WINDOWS = (0x9C9B, 0x9C9C)  # UTF-16, as bytes

EXIF_NAMES: Mapping[int, str] = MappingProxyType({
    0x010E: "description",
    0x010F: "camera_make",
    0x0110: "camera_model",
    0x0131: "software",
    0x0132: "changed",
    0x9003: "taken",
    0x9004: "digitised",
    0xA002: "width",
    0xA003: "height",
    0xA433: "lens_make",
    0xA434: "lens_model",
    0x9286: "comment",
    0x9C9B: "windows_title",
    0x9C9C: "windows_comment",
    0x013B: "artist",
    0x8298: "copyright",
    0xA430: "owner",
    0xA431: "serial_number",
    0xA435: "lens_serial_number",
    0xA420: "unique_identifier",
})  # fmt: skip
PERSONAL = frozenset({
    "artist", "copyright", "owner", "serial_number", "lens_serial_number", "unique_identifier",
    "latitude", "longitude", "creator", "author", "copyright_notice", "writer",
})  # fmt: skip
"""Fields that lead to a person or a place; of XMP as well."""


class Exif:
    """Fields of EXIF that were read.

    Attributes:
        fields: (name, value), values as text or numbers, in the order of `EXIF_NAMES`.
        thumbnail: bytes of the embedded small picture, a JPEG.
        problem: a sentence where it could not be read; it follows "EXIF".
        has_tags: whether there was any entry.
    """

    def __init__(self) -> None:
        self.fields: dict[str, str | int] = {}
        self.thumbnail: bytes | None = None
        self.problem: str | None = None
        self.has_tags = False


def read_exif(raw: bytes) -> Exif:
    """Read an EXIF block, with or without its head `Exif\\0\\0`, or a TIFF file; never raises."""
    exif = Exif()
    try:
        _fill(exif, raw.removeprefix(_HEAD))
    except Exception:  # Pillow raises a dozen kinds on broken directories, or warns and goes on
        exif.problem = "is broken; some of it was not read"
    if not exif.has_tags:
        exif.problem = "is broken; nothing of it was read"
    return exif


def is_unset(value: object) -> bool:
    """True if a program left a field blank, or as a time or a size of zeros.

    >>> is_unset("0000:00:00 00:00:00"), is_unset("    :  :     :  :  "), is_unset("2025:06:01")
    (True, True, False)
    """
    return value is None or (isinstance(value, str) and _UNSET.fullmatch(value) is not None)


def _fill(result: Exif, raw: bytes) -> None:
    exif = Image.Exif()
    exif.load(_HEAD + raw)
    tags: dict[int, Any] = {**dict(exif), **exif.get_ifd(IFD.Exif)}
    result.has_tags = bool(tags)
    order = "big" if raw[:2] == b"MM" else "little"
    for tag, name in EXIF_NAMES.items():
        value = _plain(tags[tag], tag, order) if tag in tags else ""
        if value is None and isinstance(tags[tag], bytes):
            result.problem = f"has a {name} in an encoding that is not known; it was not read"
        elif not is_unset(value) and not (value == 0 and name in ("width", "height")):
            result.fields[name] = value
    result.fields.update(_location(exif.get_ifd(IFD.GPSInfo)))
    second = exif.get_ifd(IFD.IFD1)
    start, size = second.get(0x0201), second.get(0x0202)
    if isinstance(start, int) and isinstance(size, int) and 0 < size <= len(raw) - start:
        result.thumbnail = raw[start : start + size]


def _plain(value: Any, tag: int, order: str) -> Any:
    """As text or a whole number; None for anything else."""
    if isinstance(value, tuple) and tag in _WINDOWS and all(isinstance(v, int) for v in value):
        value = bytes(byte & 0xFF for byte in value)
    if isinstance(value, bytes):
        value = value[:MAX_LENGTH]
        is_wide = tag in _WINDOWS
        value = value.decode("utf-16-le", "replace") if is_wide else decode_comment(value, order)
    elif isinstance(value, str):
        value = _as_utf8(value)
    if isinstance(value, str):
        return value.strip("\0 \r\n\t")[:MAX_LENGTH]
    return value if isinstance(value, int) else None


def _as_utf8(value: str) -> str:
    """EXIF's own texts are ASCII; programs write UTF-8, which Pillow takes for Latin-1."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _location(gps: Mapping[int, Any]) -> Iterator[tuple[str, str]]:
    """Nothing of what is no place: fields that are missing, or divide by zero."""
    for name, side, tag in (("latitude", 1, 2), ("longitude", 3, 4)):
        try:
            degrees, minutes, seconds = (float(part) for part in gps[tag])
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            continue
        value = degrees + minutes / 60 + seconds / 3600
        if math.isfinite(value):
            yield name, f"{value:.5f} {str(gps.get(side, '')).strip(chr(0))}".strip()
