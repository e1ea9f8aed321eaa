"""The texts of a PNG, one by one and within limits: what is too long costs itself alone.

A reader of pictures has to refuse a file whose texts inflate to gigabytes as a whole, or to do
without all of them. Here each text is inflated as far as the limit goes.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["MAX_TEXT", "PngText", "png_texts"]

MAX_TEXT = 4 << 20  # bytes of one text; a large ComfyUI graph has a tenth of that
MAX_ALL = 16 << 20  # bytes of all texts together
MAX_COUNT = 200

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK_TYPES = (b"tEXt", b"zTXt", b"iTXt")


class PngText(NamedTuple):
    """A text of a PNG; where it cannot be read, `problem` is a sentence and `text` is empty."""

    keyword: str
    text: str
    problem: str | None = None


def png_texts(data: bytes) -> Iterator[PngText]:
    """The texts of a PNG file in their order; nothing for other files."""
    left, count = MAX_ALL, 0
    for chunk_type, body in _chunks(data):
        if chunk_type not in _CHUNK_TYPES:
            continue
        count += 1
        if count > MAX_COUNT:
            yield PngText("", "", f"holds more than {MAX_COUNT} texts; the others were not read")
            return
        text = _text(chunk_type, body, min(MAX_TEXT, left))
        left -= len(text.text)
        yield text


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while data.startswith(_SIGNATURE) and at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size


def _text(chunk_type: bytes, body: bytes, limit: int) -> PngText:
    head, _, content = body.partition(b"\0")
    keyword = head[:79].decode("latin-1")
    encoding, packed = "latin-1", chunk_type == b"zTXt"
    if chunk_type == b"zTXt":
        content = content[1:]  # the method of compression; there is one
    elif chunk_type == b"iTXt":
        encoding, packed = "utf-8", content[:1] == b"\1"
        content = (
            content[2:].partition(b"\0")[2].partition(b"\0")[2]
        )  # language, translated keyword
    try:
        plain = _inflated(content, limit) if packed else content
    except zlib.error:
        return PngText(keyword, "", "is compressed and broken; it was not read")
    if len(plain) > limit:
        problem = f"is longer than {limit:,} bytes; it was not read"
        return PngText(keyword, "", problem)
    return PngText(keyword, _decoded(plain, encoding))


def _inflated(data: bytes, limit: int) -> bytes:
    """The text, or its first `limit + 1` bytes where it is longer."""
    return zlib.decompressobj().decompress(data, limit + 1)


def _decoded(plain: bytes, encoding: str) -> str:
    """Many programs write UTF-8 where the standard says Latin-1."""
    try:
        return plain.decode("utf-8")
    except UnicodeDecodeError:
        return plain.decode(encoding, "replace")
