"""Statements of a file about itself: credentials, EXIF, XMP, generators' settings, with states.

Only credentials can be signed. All else is "declared, unsigned": anybody can write it into any
file, and it proves nothing by itself.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sida.image.read import Picture
from sida.image.tiff import first_tags
from sida.provenance.declared.aigc import aigc_label
from sida.provenance.declared.credentials import credentials
from sida.provenance.declared.declaration import statement
from sida.provenance.declared.exif import Exif, is_unset, read_exif
from sida.provenance.declared.generator_names import Field, generator_named
from sida.provenance.declared.generator_settings import generator_settings
from sida.provenance.declared.iptc import read_iptc
from sida.provenance.declared.packets import (
    exif_profile,
    iptc_blocks,
    is_profile,
    profile_of,
    xmp_packets,
)
from sida.provenance.declared.png_texts import MAX_TEXT, PngText, png_texts
from sida.provenance.declared.sidecar import Sidecar
from sida.provenance.declared.xmp import XmpError, read_xmp
from sida.verdict import Declared

__all__ = ["declarations", "exif_of"]

UNSIGNED = "declared, unsigned"
NOT_READ = "not read"

_XMP = "XML:com.adobe.xmp"
_SIZES = ("width", "height")
_FREE = ("description", "comment", "windows_title", "windows_comment", "headline")
"""Fields that may hold anything, a generator's settings among it."""
_MAKERS = ("camera_make", "camera_model")
_GRAPHS = ("prompt", "workflow")
_SOURCE_TYPES = {
    term.casefold(): term
    for term in (
        "algorithmicMedia", "algorithmicallyEnhanced", "composite", "compositeCapture",
        "compositeSynthetic", "compositeWithTrainedAlgorithmicMedia", "computationalCapture",
        "dataDrivenMedia", "digitalArt", "digitalCapture", "digitalCreation", "humanEdits",
        "minorHumanEdits", "multiFrameComputationalCapture", "negativeFilm", "positiveFilm",
        "print", "screenCapture", "softwareImage", "trainedAlgorithmicMedia", "virtualRecording",
    )
}  # fmt: skip
"""IPTC's terms by their small letters."""


def declarations(
    data: bytes, picture: Picture, trust: str | None = None, sidecar: Sidecar | None = None
) -> list[Declared]:
    """All that the file says, credentials first; also places, serial numbers and names of people.

    Args:
        data: the file's bytes, whose decoding is `picture`.
        trust: certificates of trusted issuers in PEM.
        sidecar: content credentials in a file of their own.
    """
    info: Mapping[str, Any] = picture.metadata.get("info", {})
    texts = list(png_texts(data))
    declared = [
        *credentials(data, trust, sidecar),
        *_exif(exif_of(data, picture)),
        *_png(texts),
        *_xmp(data, texts, info),
        *_iptc(data, texts, picture),
        *_comment(info),
    ]
    return [*declared, *_generators(declared)]


def exif_of(data: bytes, picture: Picture) -> Exif:
    """The EXIF block; a TIFF is one itself, and a PNG may have it in a text."""
    raw = data if picture.format == "TIFF" else picture.metadata.get("exif")
    raw = raw or exif_profile(list(png_texts(data)))
    return read_exif(raw) if isinstance(raw, bytes) and raw else Exif()


def _exif(exif: Exif) -> Iterator[Declared]:
    """Fields, and settings among them: ComfyUI writes its graphs as make, model or other fields."""
    if exif.problem is not None:
        yield _unread("EXIF", f"EXIF {exif.problem}.")
    texts: dict[str, str] = {}
    for name, value in exif.fields.items():
        head, separator, value_text = str(value).partition(":")
        head = head.strip().casefold()
        if separator and head in _GRAPHS and value_text.lstrip()[:1] == "{" and head not in texts:
            texts[head] = value_text.strip()
        elif name in _FREE:
            texts[name] = str(value)
        elif name not in _SIZES:
            yield _field(name, value, "EXIF")
    if all(isinstance(exif.fields.get(name), int) for name in _SIZES):
        yield _in_state("size", " x ".join(str(exif.fields[name]) for name in _SIZES), "EXIF")
    yield from _settings(texts, "EXIF")


def _field(name: str, value: str | int, source: str) -> Declared:
    """A field in words of this package; a generator that poses as a camera is a program."""
    if isinstance(value, int):
        return _in_state(name, value, source)
    if name == "digital_source_type":
        value = _term(value)
    elif name == "aigc_label":
        value = aigc_label(value) or value
    elif name in _MAKERS and generator_named(value, "make") is not None:
        name = "software"
    return _in_state(name, value, source)


def _term(value: str) -> str:
    """A term of a vocabulary, without the address or prefix that it stands under."""
    term = re.split(r"[/:#]", value.partition("?")[0].strip().rstrip("/"))[-1]
    return _SOURCE_TYPES.get(term.casefold(), term)


def _png(texts: Sequence[PngText]) -> Iterator[Declared]:
    for text in texts:
        if text.problem is not None:
            yield _unread("PNG text", f"The text {text.keyword!r} {text.problem}.")
        elif is_profile(text) and profile_of(text) is None:
            yield _unread("PNG text", f"The text {text.keyword!r} is no profile; it was not read.")
    readable = (text for text in texts if text.problem is None and text.keyword != _XMP)
    yield from _settings(
        {text.keyword: text.text for text in readable if not is_profile(text)}, "PNG text"
    )


def _xmp(data: bytes, texts: Sequence[PngText], info: Mapping[str, Any]) -> Iterator[Declared]:
    """All packets, wherever the file's form keeps them."""
    for packet in xmp_packets(data, texts, info):
        try:
            pairs = read_xmp(packet.data) if packet.problem is None else ()
        except XmpError as error:
            packet = packet._replace(problem=str(error))
        if packet.problem is not None:
            yield _unread("XMP", f"XMP {packet.problem}.")
            continue
        for name, value in pairs:
            if name not in _FREE and not is_unset(value):
                yield _field(name, value, "XMP")
        yield from _settings({name: value for name, value in pairs if name in _FREE}, "XMP")


def _iptc(data: bytes, texts: Sequence[PngText], picture: Picture) -> Iterator[Declared]:
    tags = first_tags(data) if picture.format == "TIFF" else {}
    for block in iptc_blocks(data, texts, tags):
        free = {}
        for name, value in read_iptc(block):
            if name in _FREE:
                free[name] = value
            else:
                yield _field(name, value, "IPTC")
        yield from _settings(free, "IPTC")


def _comment(info: Mapping[str, Any]) -> Iterator[Declared]:
    """Of a JPEG or GIF."""
    comment = info.get("comment")
    if isinstance(comment, bytes):
        comment = comment[:MAX_TEXT].decode("utf-8", "replace")
    if isinstance(comment, str) and comment:
        yield from _settings({"comment": comment}, "file comment")


def _settings(texts: Mapping[str, str], source: str) -> Iterator[Declared]:
    """Settings of generators; texts that are none are told as they are."""
    settings = list(generator_settings(texts))
    for setting in settings:
        yield _in_state("generator", setting.generator, source)
        for name, value in (
            ("prompt", setting.prompt),
            ("negative_prompt", setting.negative),
            ("model", setting.model),
            ("settings", setting.text),
        ):
            if value:
                yield _in_state(name, value, source)
    keywords = {setting.keyword for setting in settings}
    for keyword, text in texts.items():
        if keyword in keywords or not text.strip():
            continue
        label = aigc_label(text)
        name = _name(keyword) if label is None else "aigc_label"
        yield _in_state(name, label or text.strip(), source)


def _generators(declared: list[Declared]) -> Iterator[Declared]:
    """Generators that software, credit and credentials name, where no settings told of them."""
    names = {str(entry.value) for entry in declared if entry.name == "generator"}
    for entry in declared:
        if entry.name not in _NAMING:
            continue
        values = entry.value if isinstance(entry.value, list) else [entry.value]
        for value in values:
            name = generator_named(_agent(value), _NAMING[entry.name])
            if name is not None and not any(name in other or other in name for other in names):
                names.add(name)
                yield statement("generator", name, entry.source, entry.state)


_NAMING: Mapping[str, Field] = {
    "software": "software", "creator_tool": "software", "claim_generator": "software",
    "actions": "software", "software_of_a_step": "software", "ai_system": "software",
    "credit": "credit", "source": "credit", "aigc_label": "credit", "author": "credit",
}  # fmt: skip
"""Fields that may name a generator, and the patterns that hold for them."""


def _agent(value: object) -> str:
    return str(value.get("softwareAgent", "")) if isinstance(value, dict) else str(value)


def _name(keyword: str) -> str:
    """A keyword of a PNG as names are written here."""
    return re.sub(r"\W+", "_", keyword.casefold()).strip("_") or "text"


def _in_state(name: str, value: str | int, source: str) -> Declared:
    return statement(name, value, source, UNSIGNED)


def _unread(name: str, sentence: str) -> Declared:
    return statement(name, sentence, name, NOT_READ)
