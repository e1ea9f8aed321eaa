"""EXIF's UserComment: eight bytes that name an encoding, and a text in that one or another."""

import codecs
import unicodedata

__all__ = ["decode_comment"]

MAX_JUDGED = 4_000
"""Characters by which the order of bytes is told."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_JIS = ("iso2022_jp_ext", "euc_jp", "shift_jis")
_ESCAPE, _TO_KANJI = b"\x1b", b"\x1b$B"


def decode_comment(value: bytes, order: str = "big") -> str | None:
    """The text, whichever encoding it really is in; None where that cannot be told.

    Programs write UTF-8 or UTF-16 of either order behind `UNICODE`, with a mark or without, and
    some leave the eight bytes out. `order` is that of the EXIF block, "little" or "big": it decides
    where the text itself does not.
    """
    code, text = value[:8], value[8:]
    name = code.rstrip(b"\0 ").upper()
    if name == b"UNICODE":
        return _unicode(text, order)
    if name == b"JIS":
        return _jis(text.rstrip(b"\0"))
    if name not in (b"ASCII", b""):
        text = value
    by_mark = _by_mark(text)
    return _narrow(text) if by_mark is None else by_mark


def _by_mark(text: bytes) -> str | None:
    """By the mark in front of it."""
    for mark, encoding in _MARKS:
        if text.startswith(mark):
            return text[len(mark) :].decode(encoding, "replace")
    return None


def _unicode(text: bytes, order: str) -> str:
    if (by_mark := _by_mark(text)) is not None:
        return by_mark
    candidates = ["utf-16-le", "utf-16-be"] if order == "little" else ["utf-16-be", "utf-16-le"]
    content = text.rstrip(b"\0")
    if b"\0" not in content and _is_utf8(content):
        candidates.append("utf-8")
    decoded = [text.decode(encoding, "replace") for encoding in candidates]
    return max(decoded, key=lambda candidate: _likelihood(candidate.rstrip("\0")))


def _narrow(text: bytes) -> str:
    """UTF-8, or what older programs wrote; UTF-16 where every second byte is zero."""
    content = text.rstrip(b"\0")
    if b"\0" in content:
        return _unicode(text, "big")
    return content.decode("utf-8" if _is_utf8(content) else "latin-1", "replace")


def _jis(text: bytes) -> str | None:
    """ISO-2022-JP, or its characters without their escapes; or whatever else Japan writes."""
    if _ESCAPE not in text and text.isascii():
        is_plain = len(text) % 2 or any(byte <= 0x20 for byte in text)
        return text.decode("ascii") if is_plain else _strict(_TO_KANJI + text, _JIS[0])
    candidates = (_strict(text, encoding) for encoding in ("utf-8", *_JIS))
    return next((candidate for candidate in candidates if candidate is not None), None)


def _strict(text: bytes, encoding: str) -> str | None:
    try:
        decoded = text.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if _ESCAPE.decode() in decoded else decoded


def _is_utf8(text: bytes) -> bool:
    return _strict(text.replace(_ESCAPE, b""), "utf-8") is not None


def _likelihood(text: str) -> float:
    """How much a text looks like one that somebody wrote, a character on average."""
    sample = text[:MAX_JUDGED]
    return sum(map(_worth, sample)) / len(sample) if sample else 0.0


def _worth(character: str) -> float:
    """Letters swapped into another order are rare characters, unassigned ones or controls."""
    if " " <= character <= "~" or character in "\t\r\n":
        return 2.0
    point = ord(character)
    if unicodedata.category(character) in ("Cn", "Co", "Cs", "Cc") or point == 0xFFFD:
        return -3.0
    is_common = (
        0xA0 <= point < 0x600  # Latin, Greek, Cyrillic, Hebrew
        or (0x600 <= point < 0x1100 and point >> 8 in (0x06, 0x09, 0x0E))  # Arabic, Hindi, Thai
        or 0x2010 <= point < 0x2070  # dashes, quotation marks
        or 0x3000 <= point < 0x3100  # kana
        or 0xAC00 <= point < 0xD7A4  # hangul
        or 0xFF00 <= point < 0xFFF0  # wide forms
        or 0x1F300 <= point < 0x1FB00  # pictures
    )
    return 1.0 if is_common else 0.8 if 0x4E00 <= point < 0xA000 else -1.0
