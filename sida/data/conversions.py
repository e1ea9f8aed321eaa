"""Says which pictures are not plain 8-bit RGB, and how they were read."""

from typing import Any

from PIL import Image

from sida.data.sample import Sample, header_of
from sida.image.read import Picture

__all__ = ["note_conversion"]

_ORIENTATION = 0x0112
_MODES = {
    "CMYK": "CMYK, read as RGB",
    "YCCK": "CMYK, read as RGB",
    "RGBA": "with transparency, which was left out",
    "LA": "with transparency, which was left out",
    "PA": "with transparency, which was left out",
    "I": "of 32 bits a pixel, read as 8",
    "F": "of floating-point values, read as 8 bits",
}


def note_conversion(sample: Sample, picture: Picture) -> None:
    """Note in the sample's report whatever had to be converted to read its picture."""
    notes = [_turned(picture.metadata.get("exif")), *_coding_notes(sample, picture)]
    if phrases := [phrase for phrase in notes if phrase]:
        sample.report.add("converted", sample.name, f"it is {' and '.join(phrases)}")


def _turned(exif: bytes | None) -> str | None:
    if not exif:
        return None
    tags = Image.Exif()
    try:
        tags.load(exif)
        orientation = int(tags.get(_ORIENTATION, 1))
    except Exception:  # broken EXIF turns nothing
        return None
    return f"turned upright (EXIF orientation {orientation})" if 2 <= orientation <= 8 else None


def _coding_notes(sample: Sample, picture: Picture) -> list[str | None]:
    """By the header; an ordinary JPEG need not be opened again for it."""
    if picture.format in ("JPEG", "MPO") and "adobe" not in picture.metadata.get("info", {}):
        return []
    try:
        with Image.open(header_of(sample.picture)) as image:
            return [_depth(image), _mode(image)]
    except Exception:  # it has been read already; this is only to say how
        return []


def _mode(image: Image.Image) -> str | None:
    if image.mode == "P" and "transparency" in image.info:
        return "a palette with transparency, which was left out"
    return _MODES.get(image.mode)


def _depth(image: Image.Image) -> str | None:
    """16 bits a channel, by the mode or by the way in which the file is coded."""
    tiles: Any = getattr(image, "tile", None)
    coded = tiles[0][3] if tiles else ""
    texts = [image.mode, *(coded if isinstance(coded, tuple) else (coded,))]
    return "of 16 bits a channel, read as 8" if any(";16" in str(t) for t in texts) else None
