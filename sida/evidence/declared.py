"""What a file says of itself: credentials, EXIF, XMP, generators' settings, each with its state.

Only credentials can be signed. All else is "declared, unsigned": anybody can write it into any
file, and it proves nothing by itself.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sida.evidence.credentials import credentials
from sida.evidence.exif import Exif, read_exif
from sida.evidence.generators import generator_named, generator_settings
from sida.evidence.sidecar import Sidecar
from sida.evidence.statement import statement
from sida.evidence.texts import MAX_TEXT, Text, png_texts
from sida.evidence.xmp import XmpError, read_xmp
from sida.image.read import Picture
from sida.verdict import Declared

__all__ = ["declarations", "exif_of"]

UNSIGNED = "declared, unsigned"
NOT_READ = "not read"

_XMP = "XML:com.adobe.xmp"
_SIZES = ("width", "height")
_FREE = ("description", "comment")
"""Fields that may hold anything, a generator's settings among it."""


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
    told = [
        *credentials(data, trust, sidecar),
        *_exif(exif_of(data, picture)),
        *_png(texts),
        *_xmp(texts, info),
        *_comment(info),
    ]
    return [*told, *_generators(told)]


def exif_of(data: bytes, picture: Picture) -> Exif:
    """The EXIF block; a TIFF is one itself."""
    raw = data if picture.format == "TIFF" else picture.metadata.get("exif")
    return read_exif(raw) if isinstance(raw, bytes) and raw else Exif()


def _exif(exif: Exif) -> Iterator[Declared]:
    """Fields, and settings in the comment; ComfyUI writes its graphs as make and model."""
    if exif.problem is not None:
        yield _unread("EXIF", f"EXIF {exif.problem}.")
    texts = {}
    for name, value in exif.fields.items():
        head, found, rest = str(value).partition(":")
        if found and head in ("prompt", "workflow"):
            texts[head] = rest
        elif name in _FREE:
            texts[name] = str(value)
        elif name not in _SIZES:
            yield _said(name, value, "EXIF")
    if all(isinstance(exif.fields.get(name), int) for name in _SIZES):
        yield _said("size", " x ".join(str(exif.fields[name]) for name in _SIZES), "EXIF")
    yield from _settings(texts, "EXIF")


def _png(texts: Sequence[Text]) -> Iterator[Declared]:
    for text in texts:
        if text.problem is not None:
            yield _unread("PNG text", f"The text {text.keyword!r} {text.problem}.")
    whole = (text for text in texts if text.problem is None and text.keyword != _XMP)
    yield from _settings({text.keyword: text.text for text in whole}, "PNG text")


def _xmp(texts: Sequence[Text], info: Mapping[str, Any]) -> Iterator[Declared]:
    """The packet that Pillow found, or that of a PNG, where Pillow may have refused all texts."""
    of_png = next((text.text for text in texts if text.keyword == _XMP), "")
    packet = info.get("xmp") or of_png
    if not packet:
        return
    try:
        pairs = read_xmp(packet if isinstance(packet, bytes) else str(packet).encode())
    except XmpError as error:
        yield _unread("XMP", f"XMP {error}.")
        return
    for name, value in pairs:
        if name not in _FREE:
            # A term of a vocabulary, without the address that it stands under.
            is_term = name == "digital_source_type"
            yield _said(name, value.rstrip("/").rpartition("/")[2] if is_term else value, "XMP")
    yield from _settings({name: value for name, value in pairs if name in _FREE}, "XMP")


def _comment(info: Mapping[str, Any]) -> Iterator[Declared]:
    """Of a JPEG or GIF."""
    comment = info.get("comment")
    if isinstance(comment, bytes):
        comment = comment[:MAX_TEXT].decode("utf-8", "replace")
    if isinstance(comment, str) and comment:
        yield from _settings({"comment": comment}, "file comment")


def _settings(texts: Mapping[str, str], source: str) -> Iterator[Declared]:
    """Settings of generators; texts that are none are told as they are."""
    found = list(generator_settings(texts))
    for each in found:
        yield _said("generator", each.generator, source)
        for name, value in (
            ("prompt", each.prompt),
            ("negative_prompt", each.negative),
            ("model", each.model),
            ("settings", each.text),
        ):
            if value:
                yield _said(name, value, source)
    taken = {each.keyword for each in found}
    for keyword, text in texts.items():
        if keyword not in taken and text.strip():
            yield _said(_name(keyword), text.strip(), source)


def _generators(told: list[Declared]) -> Iterator[Declared]:
    """Generators that software, credit and credentials name, where no settings told of them."""
    known = {str(each.value) for each in told if each.name == "generator"}
    for each in told:
        if each.name not in _NAMING:
            continue
        values = each.value if isinstance(each.value, list) else [each.value]
        for value in values:
            name = generator_named(_agent(value))
            if name is not None and not any(name in one or one in name for one in known):
                known.add(name)
                yield statement("generator", name, each.source, each.state)


_NAMING = ("software", "creator_tool", "credit", "claim_generator", "actions", "software_of_a_step")


def _agent(value: object) -> str:
    return str(value.get("softwareAgent", "")) if isinstance(value, dict) else str(value)


def _name(keyword: str) -> str:
    """A keyword of a PNG as names are written here."""
    return re.sub(r"\W+", "_", keyword.casefold()).strip("_") or "text"


def _said(name: str, value: str | int, source: str) -> Declared:
    return statement(name, value, source, UNSIGNED)


def _unread(name: str, sentence: str) -> Declared:
    return statement(name, sentence, name, NOT_READ)
