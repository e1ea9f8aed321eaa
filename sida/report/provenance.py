"""Origin of a picture, declared and measured, as elements; what leads to a person is left out."""

import re
from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from sida.html import Gallery, Heading, Note, Paragraph, Table, Thumb
from sida.html.elements import Element
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
    """True for the name of a field that leads to a person, a place or one camera.

    >>> is_personal("GPSLatitude"), is_personal("lens_serial_number"), is_personal("creator_tool")
    (True, True, False)
    """
    return _PERSONAL.search(re.sub(r"[\s\-]+", "_", name)) is not None


def provenance(record: Provenance | None, personal: bool) -> Iterator[Element]:
    """Contradictions, then what is declared, then what was measured in the file."""
    if record is None:
        yield Paragraph("What the file says of its origin was not asked for.")
        return
    yield Paragraph(INTRO)
    for origin in [field for field in record.declared if field.name == ORIGIN][:ROWS]:
        yield Note(
            shortened(f"{_plain(origin.value, personal)} ({state_in_words(origin)})"), "warn"
        )
    for sentence in record.contradictions[:ROWS]:
        yield Note(shortened(sentence), "warn")
    yield from _declared(record.declared, record.left_out, personal)
    yield from _measured(record.measured, personal)
    if not (record.declared or record.left_out or record.measured or record.contradictions):
        yield Paragraph("The file says nothing of its origin.")


def _declared(
    declared: Sequence[Declared], left_out: Sequence[str], personal: bool
) -> Iterator[Element]:
    listed = [statement for statement in declared if personal or not is_personal(statement.name)]
    values = [(statement, without_thumbnails(statement)) for statement in listed[:ROWS]]
    rows = [
        (
            _words(statement.name),
            _value(value, personal),
            shortened(state_in_words(statement)),
            shortened(statement.source),
        )
        for statement, (value, _) in values
    ]
    if rows:
        yield Heading("Declared")
        yield Table(("field", "value", "state", "stands in"), rows, _cut(len(listed)), ROWS)
    if thumbs := [
        Thumb(uri, shortened(title)) for _, (_, thumbnails) in values for title, uri in thumbnails
    ]:
        yield Gallery(
            thumbs[:ROWS], "What the credentials show of the pictures that it was made of."
        )
    hidden = [
        statement.name for statement in declared if not personal and is_personal(statement.name)
    ]
    if hidden := [*hidden, *left_out]:
        yield Paragraph(f"Left out, as it can lead to a person or a place: {_joined(hidden)}.")


def _measured(measured: Sequence[Measured], personal: bool) -> Iterator[Element]:
    available = [measurement for measurement in measured if measurement.value is not None]
    rows = [
        (
            _words(measurement.name),
            _value(measurement.value, personal)
            + (f" ({shortened(measurement.unit)})" if measurement.unit else ""),
            shortened(f"{measurement.meaning} {measurement.limits}"),
        )
        for measurement in available[:ROWS]
    ]
    if rows:
        yield Heading("Measured in the file")
        yield Table(("what", "value", "what it means"), rows, _cut(len(available)), ROWS)
    if absent := [measurement.name for measurement in measured if measurement.value is None]:
        yield Paragraph(f"Looked for, and not found: {_joined(absent)}.")


def _cut(count: int) -> str:
    return f"the first {ROWS} of {count}" if count > ROWS else ""


def _words(name: str) -> str:
    return shortened(name.replace("_", " "))


def _joined(names: Sequence[str]) -> str:
    return shortened(", ".join(dict.fromkeys(map(_words, names))))


def _value(value: JsonValue, personal: bool) -> str:
    return shortened(_plain(value, personal), LENGTH)


def _plain(value: JsonValue, personal: bool) -> str:
    """A value without the marks of JSON, nor what leads to a person within it."""
    if isinstance(value, dict):
        visible = {k: v for k, v in value.items() if personal or not is_personal(k)}
        return "; ".join(f"{_words(k)}: {_plain(v, personal)}" for k, v in visible.items())
    if isinstance(value, list):
        return " | ".join(_plain(item, personal) for item in value)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value)
