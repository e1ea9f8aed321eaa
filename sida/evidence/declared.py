"""What a file says of itself: credentials, EXIF, XMP, generators' settings, each with its state.

Only credentials can be signed. All else is "declared, unsigned": anybody can write it into any
file, and it proves nothing by itself.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sida.evidence.credentials import credentials
from sida.evidence.exif import PERSONAL, Exif, read_exif
from sida.evidence.generators import generator_named, generator_settings
from sida.evidence.texts import png_texts
from sida.evidence.xmp import XmpError, read_xmp
from sida.image.read import Picture
from sida.verdict import Declared

__all__ = ["declarations", "exif_of"]

UNSIGNED = "declared, unsigned"
NOT_READ = "not read"
MAX_LENGTH = 10_000

_XMP = "XML:com.adobe.xmp"
_SIZES = ("width", "height")
_TOLD_BY_OTHERS = ("description", "comment")  # shown where they hold no settings


def declarations(
    data: bytes, picture: Picture, personal: bool = False, trust: str | None = None
) -> list[Declared]:
    """All that the file says, credentials first.

    Args:
        data: the file's bytes, whose decoding is `picture`.
        personal: whether places, serial numbers and names of people are told, too.
        trust: certificates of trusted issuers in PEM.
    """
    told = [*credentials(data, trust), *_texts(data, picture, exif_of(data, picture))]
    told = [each for each in told if personal or each.name not in PERSONAL]
    return [*told, *_generators(told)]


def exif_of(data: bytes, picture: Picture) -> Exif:
    """The EXIF block; a TIFF is one itself."""
    raw = data if picture.format == "TIFF" else picture.metadata.get("exif")
    return read_exif(raw) if isinstance(raw, bytes) and raw else Exif()


def _texts(data: bytes, picture: Picture, exif: Exif) -> Iterator[Declared]:
    """EXIF, XMP, and the texts of a PNG or a comment, with generators' settings among them."""
    info: Mapping[str, Any] = picture.metadata.get("info", {})
    if exif.problem is not None:
        yield _unread("EXIF", f"EXIF {exif.problem}.")
    fields = {name: value for name, value in exif.fields.items() if name not in _TOLD_BY_OTHERS}
    for name, value in fields.items():
        if name not in _SIZES and not str(value).startswith(("prompt:", "workflow:")):
            yield _said(name, value, "EXIF")
    if "width" in fields and "height" in fields:
        yield _said("size", f"{fields['width']} x {fields['height']}", "EXIF")
    pairs: list[tuple[str, str]] = []
    texts = {}
    for text in png_texts(data):
        if text.problem is not None:
            yield _unread("PNG text", f"The text {text.keyword[:79]!r} {text.problem}.")
        elif text.keyword != _XMP:
            texts[text.keyword] = text.text
    packet = _packet(data, info)
    if packet:
        try:
            pairs = list(read_xmp(packet))
        except XmpError as error:
            yield _unread("XMP", f"XMP {error}.")
    for name, value in pairs:
        if name not in _TOLD_BY_OTHERS:
            yield _said(name, _last(value) if name == "digital_source_type" else value, "XMP")
    yield from _settings(texts, "PNG text")
    yield from _settings(_of_exif(exif), "EXIF")
    yield from _settings({n: v for n, v in pairs if n in _TOLD_BY_OTHERS}, "XMP")
    comment = info.get("comment")
    if isinstance(comment, bytes | str) and comment:
        said = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else comment
        yield from _settings({"comment": said[: 1 << 20]}, "file comment")


def _packet(data: bytes, info: Mapping[str, Any]) -> bytes:
    found = next((each.text.encode() for each in png_texts(data) if each.keyword == _XMP), b"")
    packet = info.get("xmp") or found
    return packet if isinstance(packet, bytes) else str(packet).encode()


def _of_exif(exif: Exif) -> dict[str, str]:
    """Texts of EXIF under the names that generators use; ComfyUI writes its graph as a camera."""
    texts = {}
    for name, value in exif.fields.items():
        head, found, rest = str(value).partition(":")
        if found and head in ("prompt", "workflow"):
            texts[head] = rest
        elif name in _TOLD_BY_OTHERS:
            texts[name] = str(value)
    return texts


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
                yield Declared(name="generator", value=name, source=each.source, state=each.state)


_NAMING = ("software", "creator_tool", "credit", "claim_generator", "actions", "software_of_a_step")


def _agent(value: object) -> str:
    return str(value.get("softwareAgent", "")) if isinstance(value, dict) else str(value)


def _name(keyword: str) -> str:
    """A keyword of a PNG as names are written here."""
    return re.sub(r"\W+", "_", keyword.casefold()).strip("_") or "text"


def _last(value: str) -> str:
    """A term of a vocabulary, without the address that it stands under."""
    return value.rstrip("/").rpartition("/")[2]


def _said(name: str, value: str | int, source: str) -> Declared:
    if isinstance(value, str) and len(value) > MAX_LENGTH:
        value = value[:MAX_LENGTH] + " …"
    return Declared(name=name, value=value, source=source, state=UNSIGNED)


def _unread(name: str, sentence: str) -> Declared:
    return Declared(name=name, value=sentence, source=name, state=NOT_READ)
