"""XMP: the few properties that tell where a picture comes from, read as a stream within limits."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from xml.parsers.expat import ExpatError

__all__ = ["XmpError", "read_xmp"]

MAX_BYTES = 4 << 20
MAX_DEPTH = 64
MAX_VALUES = 100
MAX_LENGTH = 1 << 20  # characters of one value

_TYPE = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_BASIC = "http://ns.adobe.com/xap/1.0/"
_EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
_DUBLIN = "http://purl.org/dc/elements/1.1/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"

PROPERTIES: Mapping[str, str] = MappingProxyType({
    f"{{{_TYPE}}}DigitalSourceType": "digital_source_type",
    f"{{{_TYPE}}}DigitalSourcefileType": "digital_source_type",
    f"{{{_BASIC}}}CreatorTool": "creator_tool",
    f"{{{_BASIC}}}CreateDate": "created",
    f"{{{_BASIC}}}ModifyDate": "changed",
    f"{{{_EVENT}}}softwareAgent": "software_of_a_step",
    f"{{{_EVENT}}}action": "step",
    f"{{{_TIFF}}}Make": "camera_make",
    f"{{{_TIFF}}}Model": "camera_model",
    f"{{{_TIFF}}}Software": "software",
    f"{{{_PHOTOSHOP}}}Credit": "credit",
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
    parser = ElementTree.XMLParser(target=target, forbid_dtd=True)
    try:
        parser.feed(packet.strip(b"\0 \r\n\t"))
        parser.close()
    except XmpError:
        raise
    except DefusedXmlException as error:
        raise XmpError("declares entities or a document type; it was not read") from error
    except (ExpatError, SyntaxError, ValueError, LookupError) as error:
        raise XmpError("is no well-formed XML; it was not read") from error
    return tuple(dict.fromkeys(target.found))


class _Target:
    """What the parser calls; keeps no tree."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self._within: list[str] = []
        self._text = ""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._within.append(tag)
        if len(self._within) > MAX_DEPTH:
            raise XmpError(f"nests deeper than {MAX_DEPTH} elements; it was not read")
        self._text = ""
        self._keep(attributes.items())

    def data(self, text: str) -> None:
        if len(self._text) < MAX_LENGTH:
            self._text += text

    def end(self, tag: str) -> None:
        named = [name for name in self._within[-3:] if name in PROPERTIES]  # rdf:Alt, rdf:li below
        if named:
            self._keep([(named[-1], self._text)])
        self._within.pop()
        self._text = ""

    def close(self) -> None:
        """The parser asks for it."""

    def _keep(self, properties: Iterable[tuple[str, str]]) -> None:
        for tag, text in properties:
            value = text.strip()[:MAX_LENGTH]
            if tag in PROPERTIES and value and len(self.found) < MAX_VALUES:
                self.found.append((PROPERTIES[tag], value))
