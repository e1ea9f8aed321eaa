"""EXIF: camera, software and times as fields; what leads to a person only where it is asked for."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD

__all__ = ["EXIF_NAMES", "PERSONAL", "Exif", "read_exif"]

MAX_LENGTH = 4 << 20  # of one value
_HEAD = b"Exif\0\0"

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
    0x013B: "artist",
    0x8298: "copyright",
    0xA430: "owner",
    0xA431: "serial_number",
    0xA435: "lens_serial_number",
    0xA420: "unique_identifier",
})  # fmt: skip
PERSONAL = frozenset({
    "artist", "copyright", "owner", "serial_number", "lens_serial_number", "unique_identifier",
    "latitude", "longitude", "creator", "author",
})  # fmt: skip
"""Fields that lead to a person or a place; of XMP as well."""


class Exif:
    """What was read.

    Attributes:
        fields: (name, value), values as text or numbers, in the order of `EXIF_NAMES`.
        thumbnail: bytes of the embedded small picture, a JPEG.
        problem: a sentence where it could not be read; it follows "EXIF".
        seen: whether there was any entry.
    """

    def __init__(self) -> None:
        self.fields: dict[str, str | int] = {}
        self.thumbnail: bytes | None = None
        self.problem: str | None = None
        self.seen = False


def read_exif(raw: bytes) -> Exif:
    """Read an EXIF block, with or without its head `Exif\\0\\0`, or a TIFF file; never raises."""
    found = Exif()
    try:
        _fill(found, raw.removeprefix(_HEAD))
    except Exception:  # Pillow raises a dozen kinds on broken directories, or warns and goes on
        found.problem = "is broken; some of it was not read"
    if not found.seen:
        found.problem = "is broken; nothing of it was read"
    return found


def _fill(found: Exif, raw: bytes) -> None:
    exif = Image.Exif()
    exif.load(_HEAD + raw)
    tags: dict[int, Any] = {**dict(exif), **exif.get_ifd(IFD.Exif)}
    found.seen = bool(tags)
    for tag, name in EXIF_NAMES.items():
        if tag in tags and (value := _plain(tags[tag])) not in ("", None):
            found.fields[name] = value
    found.fields.update(_place(exif.get_ifd(IFD.GPSInfo)))
    second = exif.get_ifd(IFD.IFD1)
    start, size = second.get(0x0201), second.get(0x0202)
    if isinstance(start, int) and isinstance(size, int) and 0 < size <= len(raw) - start:
        found.thumbnail = raw[start : start + size]


def _plain(value: Any) -> str | int | None:
    if isinstance(value, int):
        return value
    if isinstance(value, bytes):
        value = _comment(value[:MAX_LENGTH])
    if isinstance(value, str):
        return value.strip("\0 \r\n\t")[:MAX_LENGTH]
    return None


def _comment(value: bytes) -> str:
    """UserComment begins with eight bytes that name its encoding."""
    code, text = value[:8], value[8:]
    if code == b"UNICODE\0":  # in the byte order of the block, or as the program liked
        little = text[1:2] == b"\0" and text[:1] != b"\0"
        return text.decode("utf-16-le" if little else "utf-16-be", "replace")
    if code in (b"ASCII\0\0\0", b"JIS\0\0\0\0\0", bytes(8)):
        return text.decode("utf-8", "replace")
    return value.decode("utf-8", "replace")


def _place(gps: Mapping[int, Any]) -> Iterator[tuple[str, str]]:
    for name, side, tag in (("latitude", 1, 2), ("longitude", 3, 4)):
        if tag in gps:
            degrees, minutes, seconds = (float(part) for part in gps[tag])
            value = degrees + minutes / 60 + seconds / 3600
            yield name, f"{value:.5f} {gps.get(side, '')}".strip()
