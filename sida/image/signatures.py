"""Signatures of files that cannot be opened: a name for what they seem to be."""

from collections.abc import Mapping

__all__ = ["looks_like", "raw_name"]

_BEGINNINGS = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"FUJIFILMCCD-RAW", "a camera raw (RAF)"),
    (b"IIU\0", "a camera raw (RW2)"),
    (b"IIRO", "a camera raw (ORF)"),
    (b"IIRS", "a camera raw (ORF)"),
    (b"MMOR", "a camera raw (ORF)"),
    (b"II\x1a\0\0\0HEAPCCDR", "a camera raw (CRW)"),
    (b"FOVb", "a camera raw (X3F)"),
    (b"\0MRM", "a camera raw (MRW)"),
    (b"8BPS", "a Photoshop document"),
    (b"gimp xcf", "a GIMP document"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"BPG\xfb", "BPG"),
    (b"%!PS", "PostScript"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
)
_BRANDS = (
    (b"crx ", "a camera raw (CR3)"),
    (b"jxl ", "JPEG XL"),
    (b"jp2 ", "JPEG 2000"),
    (b"jpx ", "JPEG 2000"),
)
_VIDEOS = (b"qt  ", b"isom", b"iso2", b"mp41", b"mp42", b"M4V ", b"avc1")
_DNG_VERSION = 0xC612
_PHOTOMETRIC = 262
_OF_SENSOR = (32803, 34892)  # colour filter array, linear raw


def looks_like(data: bytes) -> str:
    """Name for what a file seems to be, such as "JPEG XL", "a PDF" or "text"."""
    start = data[:512]
    if not start.strip(b"\0"):
        return "only zeros"
    for beginning, name in _BEGINNINGS:
        if start.startswith(beginning):
            return name
    if start[4:8] == b"ftyp":
        brand = start[8:12]
        return dict(_BRANDS).get(brand, "a video" if brand in _VIDEOS else "data of another kind")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return "an SVG drawing"
    printable = sum(byte in b"\t\n\r" or byte >= 32 for byte in start)
    return "text" if b"\0" not in start and printable == len(start) else "data of another kind"


def raw_name(data: bytes, tags: Mapping[int, object]) -> str | None:
    """The form of camera raw that a TIFF is, by its first bytes and tags; None for other TIFFs."""
    if data[8:10] == b"CR":
        return "CR2"
    if _DNG_VERSION in tags:
        return "DNG"
    return "a sensor's own values" if tags.get(_PHOTOMETRIC) in _OF_SENSOR else None
