"""What a file says and shows of its origin, as elements; what leads to a person is left out."""

import re
from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from sida.page import Gallery, Heading, Note, Table, Text, Thumb
from sida.page.elements import Element
from sida.provenance.declared.declaration import ORIGIN, state_in_words, without_thumbnails
from sida.report.wording import shortened
from sida.verdict import Declared, Measured, Provenance

__all__ = ["is_personal", "provenance"]

INTRO = (
    "None of this has changed the verdict. Anybody can write what is declared and not signed into "
    "any file; it proves nothing by itself."
)
LENGTH = 1000  # characters of a value that are shown
ROWS = 200  # statements of each kind that are shown

_PERSONAL = re.compile(
    r"gps|latitude|longitude|altitude|location|(?<![a-z])city|address|serial|unique_?id|artist|author"
    r"|owner|copyright|by_?line|creator(?!_?tool)|photographer|person|email|phone",
    re.IGNORECASE,
)


def is_personal(name: str) -> bool:
    """Whether a field of that name leads to a person, a place or one camera.

    >>> is_personal("GPSLatitude"), is_personal("lens_serial_number"), is_personal("creator_tool")
    (True, True, False)
    """
    return _PERSONAL.search(re.sub(r"[\s\-]+", "_", name)) is not None


def provenance(found: Provenance | None, personal: bool) -> Iterator[Element]:
    """Contradictions, then what is declared, then what was measured in the file."""
    if found is None:
        yield Text("What the file says of its origin was not asked for.")
        return
    yield Text(INTRO)
    for origin in [one for one in found.declared if one.name == ORIGIN][:ROWS]:
        yield Note(
            shortened(f"{_plain(origin.value, personal)} ({state_in_words(origin)})"), "warn"
        )
    for sentence in found.contradictions[:ROWS]:
        yield Note(shortened(sentence), "warn")
    yield from _declared(found.declared, found.left_out, personal)
    yield from _measured(found.measured, personal)
    if not (found.declared or found.left_out or found.measured or found.contradictions):
        yield Text("The file says nothing of its origin.")


def _declared(
    found: Sequence[Declared], left_out: Sequence[str], personal: bool
) -> Iterator[Element]:
    told = [one for one in found if personal or not is_personal(one.name)]
    apart = [(one, without_thumbnails(one)) for one in told[:ROWS]]
    rows = [
        (
            _words(one.name),
            _value(value, personal),
            shortened(state_in_words(one)),
            shortened(one.source),
        )
        for one, (value, _) in apart
    ]
    if rows:
        yield Heading("Declared")
        yield Table(("field", "value", "state", "stands in"), rows, _cut(len(told)), ROWS)
    if thumbs := [Thumb(uri, shortened(title)) for _, (_, few) in apart for title, uri in few]:
        yield Gallery(
            thumbs[:ROWS], "What the credentials show of the pictures that it was made of."
        )
    hidden = [one.name for one in found if not personal and is_personal(one.name)]
    if hidden := [*hidden, *left_out]:
        yield Text(f"Left out, as it can lead to a person or a place: {_listed(hidden)}.")


def _measured(found: Sequence[Measured], personal: bool) -> Iterator[Element]:
    told = [one for one in found if one.value is not None]
    rows = [
        (
            _words(one.name),
            _value(one.value, personal) + (f" ({shortened(one.unit)})" if one.unit else ""),
            shortened(f"{one.meaning} {one.limits}"),
        )
        for one in told[:ROWS]
    ]
    if rows:
        yield Heading("Measured in the file")
        yield Table(("what", "value", "what it means"), rows, _cut(len(told)), ROWS)
    if nothing := [one.name for one in found if one.value is None]:
        yield Text(f"Looked for, and not found: {_listed(nothing)}.")


def _cut(count: int) -> str:
    return f"the first {ROWS} of {count}" if count > ROWS else ""


def _words(name: str) -> str:
    return shortened(name.replace("_", " "))


def _listed(names: Sequence[str]) -> str:
    return shortened(", ".join(dict.fromkeys(map(_words, names))))


def _value(value: JsonValue, personal: bool) -> str:
    return shortened(_plain(value, personal), LENGTH)


def _plain(value: JsonValue, personal: bool) -> str:
    """A value without the marks of JSON, nor what leads to a person within it."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if personal or not is_personal(k)}
        return "; ".join(f"{_words(k)}: {_plain(v, personal)}" for k, v in kept.items())
    if isinstance(value, list):
        return " | ".join(_plain(each, personal) for each in value)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value)
