"""IPTC-IIM, the older form of IPTC's fields: credit, source, program and texts."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from sida.provenance.declared.user_comment import decode_comment

__all__ = ["IIM_NAMES", "photoshop_iptc", "read_iptc"]

MAX_FIELDS = 500
MAX_LENGTH = 1 << 20

IIM_NAMES: Mapping[int, str] = MappingProxyType({
    65: "software",
    80: "creator",
    105: "headline",
    110: "credit",
    115: "source",
    116: "copyright_notice",
    120: "description",
    122: "writer",
})  # fmt: skip
"""Datasets of record 2, and what they are called here."""

_RESOURCE, _IPTC = b"8BIM", 0x0404
_MARK = 0x1C
_ESCAPE_UTF8 = b"\x1b%G"


def read_iptc(block: bytes) -> Iterator[tuple[str, str]]:
    """(name, value) of the fields that there are, in their order; what is broken ends them."""
    encoding, at, count = "", 0, 0
    while at + 5 <= len(block) and block[at] == _MARK and count < MAX_FIELDS:
        record, number = block[at + 1], block[at + 2]
        size, start = int.from_bytes(block[at + 3 : at + 5]), at + 5
        if size & 0x8000:  # the size of a size
            width = size & 0x7FFF
            size, start = int.from_bytes(block[start : start + min(width, 8)]), start + width
        value = block[start : start + min(size, MAX_LENGTH)]
        if (record, number) == (1, 90) and value.startswith(_ESCAPE_UTF8):
            encoding = "utf-8"
        elif record == 2 and number in IIM_NAMES:
            decoded = value.decode(encoding, "replace") if encoding else None
            text = (decoded or decode_comment(bytes(8) + value) or "").strip("\0 \r\n\t")
            if text:
                yield IIM_NAMES[number], text
        at, count = start + size, count + 1


def photoshop_iptc(resources: bytes) -> bytes:
    """The IPTC block among Photoshop's image resources; b"" where there is none."""
    at = resources.find(_RESOURCE)
    while at >= 0 and at + 12 <= len(resources):
        resource = int.from_bytes(resources[at + 4 : at + 6])
        name = 1 + resources[at + 6]  # a string behind its length, filled up to an even size
        start = at + 6 + name + name % 2
        size = int.from_bytes(resources[start : start + 4])
        if resource == _IPTC:
            return resources[start + 4 : start + 4 + size]
        after = start + 4 + size
        at = resources.find(_RESOURCE, after)
    return b""
