"""XMP: the few properties that tell where a picture comes from, read as a stream within limits.

RDF writes one and the same thing as an attribute, as an element's text, as `rdf:resource`, as
`rdf:value` of a node within, and each of these in a list.
"""

import codecs
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from xml.parsers.expat import ExpatError

__all__ = ["XmpError", "read_xmp"]

MAX_BYTES = 4 << 20
MAX_DEPTH = 64
MAX_VALUES = 100
MAX_LENGTH = 1 << 20  # characters of one value

_WIDE = {
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
}

_TYPE = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_BASIC = "http://ns.adobe.com/xap/1.0/"
_EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
_DUBLIN = "http://purl.org/dc/elements/1.1/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
_LABEL = "http://www.tc260.org.cn/ns/AIGC/1.0/"
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_VALUES = (f"{_RDF}resource", f"{_RDF}value", f"{_RDF}about", "resource")
"""Attributes that hold the value of a property, on its element or on those of RDF within."""

PROPERTIES: Mapping[str, str] = MappingProxyType({
    f"{{{_TYPE}}}DigitalSourceType": "digital_source_type",
    f"{{{_TYPE}}}DigitalSourcefileType": "digital_source_type",
    f"{{{_TYPE}}}DigitalSourceFileType": "digital_source_type",
    f"{{{_TYPE}}}AISystemUsed": "ai_system",
    f"{{{_TYPE}}}AIPromptInformation": "prompt",
    f"{{{_LABEL}}}AIGC": "aigc_label",
    f"{{{_BASIC}}}CreatorTool": "creator_tool",
    f"{{{_BASIC}}}CreateDate": "created",
    f"{{{_BASIC}}}ModifyDate": "changed",
    f"{{{_EVENT}}}softwareAgent": "software_of_a_step",
    f"{{{_EVENT}}}action": "step",
    f"{{{_TIFF}}}Make": "camera_make",
    f"{{{_TIFF}}}Model": "camera_model",
    f"{{{_TIFF}}}Software": "software",
    f"{{{_PHOTOSHOP}}}Credit": "credit",
    f"{{{_PHOTOSHOP}}}Source": "source",
    f"{{{_DUBLIN}}}description": "description",
    f"{{{_EXIF}}}UserComment": "comment",
    "{http://purl.org/dc/terms/}provenance": "content_credentials_elsewhere",
    f"{{{_DUBLIN}}}creator": "creator",
    f"{{{_EXIF}}}GPSLatitude": "latitude",
    f"{{{_EXIF}}}GPSLongitude": "longitude",
    "{http://ns.adobe.com/exif/1.0/aux/}SerialNumber": "serial_number",
})  # fmt: skip
"""Names of properties, and what they are called here."""


class XmpError(ValueError):
    """The packet was not read; the text says why and follows "XMP"."""


def read_xmp(packet: bytes) -> tuple[tuple[str, str], ...]:
    """(name, value) of the properties that there are, in the order of the packet, each pair once.

    Raises:
        XmpError: too long, too deep, no XML, or with entities, which can stand for gigabytes.
    """
    from defusedxml import DefusedXmlException, ElementTree

    if len(packet) > MAX_BYTES:
        raise XmpError(f"is longer than {MAX_BYTES:,} bytes; it was not read")
    target = _Target()
    data, encoding = _unwrapped(packet)
    parser = ElementTree.XMLParser(target=target, encoding=encoding, forbid_dtd=True)
    try:
        parser.feed(data)
        parser.close()
    except XmpError:
        raise
    except DefusedXmlException as error:
        raise XmpError("declares entities or a document type; it was not read") from error
    except (ExpatError, SyntaxError, ValueError, LookupError) as error:
        raise XmpError("is no well-formed XML; it was not read") from error
    return tuple(dict.fromkeys(target.values))


def _unwrapped(packet: bytes) -> tuple[bytes, str | None]:
    """The XML without what pads it, and its encoding where this is not in the XML itself."""
    for encoding, mark in _WIDE.items():
        opening = "<".encode(encoding)
        second = packet[len(opening) : 2 * len(opening)].decode(encoding, "replace")
        if packet.startswith(mark) or (packet.startswith(opening) and second.isascii()):
            text = packet.decode(encoding, "replace").strip("\ufeff\0 \r\n\t")
            return text.encode("utf-8", "replace"), "utf-8"
    start, end = packet.find(b"<"), packet.rfind(b">")
    return packet[max(start, 0) : end + 1], None


class _Target:
    """Target of the XML parser; keeps no tree."""

    def __init__(self) -> None:
        self.values: list[tuple[str, str]] = []
        self._within: list[str] = []
        self._text: list[str] = []
        self._length = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._within.append(tag)
        if len(self._within) > MAX_DEPTH:
            raise XmpError(f"nests deeper than {MAX_DEPTH} elements; it was not read")
        self._text.clear()
        self._length = 0
        self._keep(attributes.items())
        if (name := self._property()) is not None:
            self._keep(
                (name, attributes[attribute]) for attribute in _VALUES if attribute in attributes
            )

    def data(self, text: str) -> None:
        if self._length < MAX_LENGTH:
            self._text.append(text)
            self._length += len(text)

    def end(self, tag: str) -> None:
        if (name := self._property()) is not None:
            self._keep([(name, "".join(self._text))])
        self._within.pop()
        self._text.clear()
        self._length = 0

    def _property(self) -> str | None:
        """The property whose value is being read: the innermost, with elements of RDF below it."""
        for name in reversed(self._within):
            if name in PROPERTIES:
                return name
            if not name.startswith(_RDF):
                return None
        return None

    def close(self) -> None:
        """The parser asks for it."""

    def _keep(self, properties: Iterable[tuple[str, str]]) -> None:
        for tag, text in properties:
            value = text.strip()[:MAX_LENGTH]
            if tag in PROPERTIES and value and len(self.values) < MAX_VALUES:
                self.values.append((PROPERTIES[tag], value))
