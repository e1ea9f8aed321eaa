"""How a JPEG was coded: its quantisation tables, the quality they stand for, chroma sampling.

Tables are in natural (row by row) order, as Pillow's `quantization` gives them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = [
    "END_IS_MISSING",
    "JpegCoding",
    "complete_variants",
    "estimate_quality",
    "jpeg_coding",
    "quality_tables",
    "scan_count",
    "segments",
    "subsampling",
]

Tables = tuple[tuple[int, ...], ...]

# ITU-T T.81, Annex K, tables K.1 and K.2.
LUMINANCE = np.array(
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
        14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
        18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
        49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ]
)  # fmt: skip
CHROMINANCE = np.array(
    [
        17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
        24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
        *[99] * 32,
    ]
)  # fmt: skip

# ITU-T T.81, table B.1: the second bytes of markers.
_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
_HUFFMAN = frozenset({0xC0, 0xC1, 0xC2})
_BEGINNING, _END = b"\xff\xd8\xff", b"\xff\xd9"
# As many bits as libjpeg reads ahead. No code consists of ones alone, so they are read as nothing;
# the others make coefficients by any table, and each is the other's inverse.
_ONES = b"\xff\0" * 9
_FILLINGS = (_ONES, bytes.fromhex("59b366cd5a972d6bb4"), bytes.fromhex("a64c9932a568d2944b"))
END_IS_MISSING = "the end of the JPEG is missing, though no row of the picture is"
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})  # without a length


@dataclass(frozen=True)
class JpegCoding:
    """Compression of a JPEG by its headers.

    Attributes:
        tables: one or more tables of 64 steps, 1 to 65535, in natural order.
        quality: 1 to 100, of libjpeg's scale.
        exact: whether libjpeg's tables of that quality are these; else `quality` is the nearest.
        subsampling: "4:4:4", "4:2:2", "4:2:0", …; None for grey.
        progressive: whether it comes in several scans of growing detail.
    """

    tables: Tables
    quality: int
    exact: bool
    subsampling: str | None
    progressive: bool


def jpeg_coding(image: Image.Image) -> JpegCoding | None:
    """The coding of a JPEG (or MPO) as opened by Pillow; None for other pictures."""
    quantization: Mapping[int, Sequence[int]] | None = getattr(image, "quantization", None)
    if not quantization:
        return None
    tables = tuple(tuple(quantization[index]) for index in sorted(quantization))
    quality, exact = _remembered(tables)
    factors = [(layer[1], layer[2]) for layer in getattr(image, "layer", ())]
    progressive = bool(image.info.get("progressive"))
    return JpegCoding(tables, quality, exact, subsampling(factors), progressive)


def quality_tables(quality: int, baseline: bool = True) -> tuple[NDArray[np.int64], ...]:
    """libjpeg's luminance and chrominance table of a quality 1 to 100, each (64,).

    The formula of `jpeg_quality_scaling` and `jpeg_add_quant_table` in libjpeg's jcparam.c;
    baseline tables are held to 255.
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    highest = 255 if baseline else 32767
    return tuple(
        ((table * scale + 50) // 100).clip(1, highest) for table in (LUMINANCE, CHROMINANCE)
    )


def estimate_quality(tables: Sequence[Sequence[int]]) -> tuple[int, bool]:
    """The libjpeg quality of quantisation tables, and whether it is exact.

    The first table is compared with the luminance table, a second with the chrominance table, on
    a logarithmic scale, so that the small steps of low frequencies count as much as the large.
    """
    levels = np.array([list(table) for table in tables[:2]])
    best, distance = 0, np.inf
    for quality, reference in _known_tables():
        if np.array_equal(reference[: len(levels)], levels):
            return quality, True
        apart = np.abs(np.log(reference[: len(levels)]) - np.log(levels.clip(1))).mean()
        if apart < distance:
            best, distance = quality, apart
    return best, False


@lru_cache(1024)
def _remembered(tables: Tables) -> tuple[int, bool]:
    """Sets hold few different tables, and comparing takes as long as a tenth of a decode."""
    return estimate_quality(tables)


@cache
def _known_tables() -> tuple[tuple[int, NDArray[np.int64]], ...]:
    """Best quality first: where low ones share a table, the better one is named."""
    return tuple(
        (quality, np.stack(quality_tables(quality, baseline)))
        for quality in range(100, 0, -1)
        for baseline in (True, False)
    )


def subsampling(factors: Sequence[tuple[int, int]]) -> str | None:
    """J:a:b of sampling factors (horizontal, vertical) of luma and chroma; None for one channel.

    >>> subsampling([(2, 2), (1, 1), (1, 1)])
    '4:2:0'
    """
    if len(factors) < 3:
        return None
    (luma_x, luma_y), (chroma_x, chroma_y) = factors[:2]
    across = 4 * chroma_x // luma_x
    return f"4:{across}:{across if chroma_y == luma_y else 0}"


def scan_count(data: bytes) -> int:
    """How many scans the first picture of a JPEG file has, without decoding it.

    Where the first scan of a sequential file holds all components, decoders stop after it, and the
    coded data are not looked through, which would take as long as a tenth of a decode.
    """
    start, _, is_all = _first_scan(data)
    if is_all:
        return 1
    end = data.find(_END, start)  # coded data never hold this pair
    return data.count(b"\xff\xda", start, None if end < 0 else end)


def complete_variants(data: bytes) -> tuple[tuple[bytes, ...], bool]:
    """The same JPEG in forms that all decode to one picture if no row is missing; and whether the
    end marker was there. Other files come back alone, as they are.

    libjpeg fills rows that are missing with grey and says so to nobody but its caller, which Pillow
    keeps to itself. So the end marker, which is what it falls back to, is taken away: then missing
    rows are an error. A few bits follow in its place, for it reads ahead. Where the marker is
    missing, it must make no difference which. Files of several scans are
    read as a whole first, and cannot do without a marker.
    """
    if not data.startswith(_BEGINNING):
        return (data,), True
    start, frame, is_all = _first_scan(data)
    end = data.find(_END, start)
    has_end = end >= 0
    if start >= len(data) or frame not in _HUFFMAN:
        return (data,), True
    scans = data[:end] if has_end else _without_zeros(data).removesuffix(b"\xff")
    if is_all:
        return tuple(scans + bits for bits in _FILLINGS[: 1 if has_end else None]), has_end
    is_refined = _is_refined(data, start)
    if has_end == is_refined:  # whole, or neither end nor all scans: then it is refused
        return (data if has_end else scans,), has_end
    return tuple(scans + bits + _END for bits in _FILLINGS), has_end


def _without_zeros(data: bytes) -> bytes:
    """Without the empty rest of a file whose room was taken before its content came."""
    content = data.rstrip(b"\0")
    return content if len(data) - len(content) >= len(_ONES) else data


def _is_refined(data: bytes, start: int) -> bool:
    """True if scans give all bits of all coefficients of all components of the first picture."""
    end = data.find(_END, start)
    unread = {(name, index) for name in _components(data, start) for index in range(64)}
    at = start
    while at >= 0 and unread:
        count = int.from_bytes(data[at + 4 : at + 5])
        names = data[at + 5 : at + 5 + 2 * count : 2]
        first, last, bits = (data[at + 5 + 2 * count :][:3] + bytes(3))[:3]
        if not bits & 0x0F:
            unread -= {(name, index) for name in names for index in range(first, last + 1)}
        at = data.find(b"\xff\xda", at + 2, None if end < 0 else end)
    return not unread


def _components(data: bytes, start: int) -> bytes:
    """Names of the components, a byte each, of the frame before the first scan."""
    for at, marker in segments(data):
        if marker in _FRAMES and at < start:
            return data[at + 10 : at + 10 + 3 * data[at + 9] : 3] if at + 9 < start else b""
    return b""


def segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Where segments before the first scan begin, and their markers; the scan's comes last.

    Segments, which may hold thumbnails, are passed over.
    """
    at = 2
    while at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker in (0x00, 0xFF):  # filler
            at += 1
            continue
        yield at, marker
        if marker == _SCAN:
            return
        at += 2 if marker in _BARE else 2 + int.from_bytes(data[at + 2 : at + 4])


def _first_scan(data: bytes) -> tuple[int, int, bool]:
    """Where the first scan begins, the marker of its frame, and whether it is the only one."""
    frame, components = 0, 0
    for at, marker in segments(data):
        if marker == _SCAN:
            is_all = components > 0 and data[at + 4 : at + 5] == bytes([components])
            return at, frame, is_all
        if marker in _FRAMES:
            frame = marker
            components = data[at + 9] if marker in _SEQUENTIAL and at + 9 < len(data) else 0
    return len(data), frame, False
