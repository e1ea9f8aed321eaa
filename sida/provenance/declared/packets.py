"""Where files keep XMP, EXIF and IPTC blocks, beside the places that Pillow looks into.

JPEG: XMP of more than 64 KB in segments of its own, IPTC among Photoshop's resources. GIF: XMP in
an application's extension. PNG: hexadecimal profiles in texts, as ImageMagick writes them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from sida.image.jpeg import segments
from sida.provenance.declared.iptc import photoshop_iptc
from sida.provenance.declared.png_texts import PngText
from sida.provenance.declared.xmp import MAX_BYTES

__all__ = ["Packet", "exif_profile", "iptc_blocks", "is_profile", "profile_of", "xmp_packets"]

_PROFILE_KEYWORD = "raw profile type "
_XMP_KEYWORD = "XML:com.adobe.xmp"
_XMP_HEAD, _MORE_HEAD = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_EXIF_HEAD, _PHOTOSHOP_HEAD = b"Exif\0\0", b"Photoshop 3.0\0"
_APP1, _APP13 = 0xE1, 0xED
_GIF, _GIF_XMP = (b"GIF87a", b"GIF89a"), b"\x21\xff\x0bXMP DataXMP"
_TRAILER = b"\x01\xff\xfe\xfd"
MAX_EXTENSIONS = 20
_EXTENDED = re.compile(rb"HasExtendedXMP\s*(?:=\s*[\"']|>)\s*([0-9A-Fa-f]{32})")
_PROFILE = re.compile(r"\s*(\S+)\s+(\d{1,10})\s([0-9a-fA-F\s]*)")
_IPTC_TAG, _RESOURCES_TAG = 33723, 34377


class Packet(NamedTuple):
    """An XMP packet; where it cannot be read, `problem` follows "XMP" and `data` is empty."""

    data: bytes
    problem: str | None = None


def xmp_packets(
    data: bytes, texts: Sequence[PngText], info: Mapping[str, object]
) -> Iterator[Packet]:
    """Every XMP packet of a file, each once: what Pillow read, then what it does not look for."""
    packets: list[Packet] = []
    packet = info.get("xmp")
    if isinstance(packet, str):
        packet = packet.encode()
    if isinstance(packet, bytes) and packet:
        packets.append(Packet(packet))
    packets += [Packet(text.text.encode()) for text in texts if text.keyword == _XMP_KEYWORD]
    for name, profile in _profiles(texts):
        if name in ("xmp", "app1") and not profile.startswith(_EXIF_HEAD):
            packets.append(Packet(profile.removeprefix(_XMP_HEAD)))
    packets += _jpeg_packets(data)
    packets += _gif_packets(data)
    yield from dict.fromkeys(packet for packet in packets if packet.data or packet.problem)


def _jpeg_packets(data: bytes) -> Iterator[Packet]:
    extensions: dict[bytes, tuple[int, dict[int, bytes]]] = {}
    guids: list[bytes] = []
    for body in _bodies(data, _APP1):
        if body.startswith(_XMP_HEAD):
            guids += _EXTENDED.findall(body)
            yield Packet(body[len(_XMP_HEAD) :])
        elif body.startswith(_MORE_HEAD):
            packet = body[len(_MORE_HEAD) :]
            size, offset = int.from_bytes(packet[32:36]), int.from_bytes(packet[36:40])
            if packet[:32] in extensions or len(extensions) < MAX_EXTENSIONS:
                extensions.setdefault(packet[:32], (size, {}))[1][offset] = packet[40:]
    for size, parts in extensions.values():
        yield _joined(size, parts)
    if any(guid.upper() not in {extension.upper() for extension in extensions} for guid in guids):
        yield Packet(b"", "names an extension that is not in the file")


def _joined(size: int, parts: Mapping[int, bytes]) -> Packet:
    """The parts of an extension behind one another, whichever their order in the file."""
    if size > MAX_BYTES:
        return Packet(b"", f"has an extension of {size:,} bytes; it was not read")
    chunks, length = [], 0
    for offset in sorted(parts):
        if offset == length:
            chunks.append(parts[offset])
            length += len(parts[offset])
    if length != size or not size:
        return Packet(b"", "has an extension that is not whole; it was not read")
    return Packet(b"".join(chunks))


def _gif_packets(data: bytes) -> Iterator[Packet]:
    """The packet stands there as it is, and a trailer leads readers of blocks out of it; some
    programs cut it into blocks as GIF's other extensions are."""
    if not data.startswith(_GIF):
        return
    at = data.find(_GIF_XMP)
    while at >= 0:
        start = at + len(_GIF_XMP)
        end = data.find(_TRAILER, start, start + MAX_BYTES)
        if end >= 0 and b"<" in data[start : start + 4]:
            yield Packet(data[start:end])
        else:
            yield Packet(_blocks(data, start))
        at = data.find(_GIF_XMP, start)


def _blocks(data: bytes, at: int) -> bytes:
    parts, length = [], 0
    while at < len(data) and data[at] and length <= MAX_BYTES:
        parts.append(data[at + 1 : at + 1 + data[at]])
        length += data[at]
        at += 1 + data[at]
    return b"".join(parts)


def _bodies(data: bytes, marker: int) -> Iterator[bytes]:
    """Contents of a JPEG's segments of one kind; none for other files."""
    if data.startswith(b"\xff\xd8"):
        for at, segment in segments(data):
            if segment == marker:
                yield data[at + 4 : at + 2 + int.from_bytes(data[at + 2 : at + 4])]


def is_profile(text: PngText) -> bool:
    """True if a PNG's text is marked as a block in hexadecimal."""
    return text.keyword.casefold().startswith(_PROFILE_KEYWORD)


def profile_of(text: PngText) -> tuple[str, bytes] | None:
    """Name and content of a profile: a name, a length and hexadecimal, in lines; None otherwise."""
    parts = _PROFILE.fullmatch(text.text) if is_profile(text) else None
    if parts is None:
        return None
    digits = re.sub(r"\s", "", parts[3])
    name = text.keyword[len(_PROFILE_KEYWORD) :].strip().casefold()
    return name, bytes.fromhex(digits[: len(digits) // 2 * 2])[: int(parts[2])]


def _profiles(texts: Sequence[PngText]) -> Iterator[tuple[str, bytes]]:
    yield from filter(None, map(profile_of, texts))


def exif_profile(texts: Sequence[PngText]) -> bytes | None:
    """The EXIF block among a PNG's profiles."""
    for name, profile in _profiles(texts):
        if name == "exif" or (name == "app1" and profile.startswith(_EXIF_HEAD)):
            return profile
    return None


def iptc_blocks(
    data: bytes, texts: Sequence[PngText], tags: Mapping[int, object]
) -> Iterator[bytes]:
    """IPTC-IIM blocks of a JPEG, a PNG, or a TIFF, whose `tags` these are."""
    resources = b"".join(
        body[len(_PHOTOSHOP_HEAD) :]
        for body in _bodies(data, _APP13)
        if body.startswith(_PHOTOSHOP_HEAD)
    )
    blocks = [photoshop_iptc(resources)]
    for name, profile in _profiles(texts):
        if name in ("iptc", "8bim"):
            block = photoshop_iptc(profile)
            blocks.append(block or profile)
    for tag, is_inner in ((_IPTC_TAG, False), (_RESOURCES_TAG, True)):
        value = tags.get(tag)
        if isinstance(value, tuple) and all(isinstance(word, int) for word in value):
            order: Literal["big", "little"] = "big" if data[:1] == b"M" else "little"
            value = b"".join((word & 0xFFFFFFFF).to_bytes(4, order) for word in value)
        if isinstance(value, bytes):
            blocks.append(photoshop_iptc(value) if is_inner else value)
    yield from dict.fromkeys(filter(None, blocks))
