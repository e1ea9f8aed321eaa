"""PNG's chunks, without decoding: what stands where, and what can be left out."""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["TEXTS_LEFT_OUT", "Chunk", "chunks", "without_broken_parts", "without_texts"]

TEXTS_LEFT_OUT = "the file's texts were left out: they are broken or too long"
MAX_LISTED = 5

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""Chunks that Pillow bounds and checks as it opens a file; a profile may be as wrong as a text."""


class Chunk(NamedTuple):
    """A chunk's type, and where it begins (with its length) and ends (with its checksum)."""

    type: bytes
    start: int
    end: int


def chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of a PNG file in their order; nothing for other files."""
    at = len(_SIGNATURE)
    while data.startswith(_SIGNATURE) and at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        yield Chunk(data[at + 4 : at + 8], at, end)
        at = end


def without_broken_parts(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """A file without ancillary chunks whose checksum is wrong, as libpng reads it; and warnings.

    Nothing that pixels need is in them. Other files as they are.
    """
    ancillary = [chunk for chunk in chunks(data) if _is_ancillary(chunk)]
    damaged = {chunk for chunk in ancillary if not _is_whole(data, chunk)}
    if not damaged:
        return data, ()
    damaged_types = [
        chunk.type.decode("ascii") for chunk in sorted(damaged, key=lambda chunk: chunk.start)
    ]
    types = list(dict.fromkeys(name for name in damaged_types if name.encode() not in _TEXTS))
    warnings = []
    if len(types) < len(set(damaged_types)):
        damaged.update(chunk for chunk in ancillary if chunk.type in _TEXTS)
        warnings.append(TEXTS_LEFT_OUT)
    if types:
        listing = ", ".join(types[:MAX_LISTED]) + (", …" if len(types) > MAX_LISTED else "")
        warnings.append(f"the checksum of {listing} is wrong: that part of the file was left out")
    return _without(data, sorted(damaged, key=lambda chunk: chunk.start)), tuple(warnings)


def without_texts(data: bytes) -> bytes:
    """A PNG without texts and profile; other data as they are."""
    return _without(data, [chunk for chunk in chunks(data) if chunk.type in _TEXTS])


def _without(data: bytes, left_out: list[Chunk]) -> bytes:
    parts, at = [], 0
    for chunk in left_out:
        parts.append(data[at : chunk.start])
        at = chunk.end
    return b"".join([*parts, data[at:]]) if left_out else data


def _is_ancillary(chunk: Chunk) -> bool:
    return chunk.type.isalpha() and chunk.type[:1].islower()


def _is_whole(data: bytes, chunk: Chunk) -> bool:
    checksum = data[chunk.end - 4 : chunk.end]
    return zlib.crc32(data[chunk.start + 4 : chunk.end - 4]) == int.from_bytes(checksum)
