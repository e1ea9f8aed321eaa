"""What a file says and shows of its origin, as elements; what leads to a person is left out."""

import json
import re
from collections.abc import Iterator
from typing import Any

from sida.page import Heading, Note, Table, Text
from sida.page.elements import Element
from sida.report.wording import shortened
from sida.verdict import Provenance

__all__ = ["is_personal", "provenance"]

INTRO = (
    "None of this has changed the verdict. Anybody can write what is declared and not signed into "
    "any file; it proves nothing by itself."
)
LENGTH = 1000  # characters of a value that are shown
ROWS = 200  # statements of each kind that are shown

_PERSONAL = re.compile(
    r"gps|latitude|longitude|altitude|location|city|address|serial|unique_?id|artist|author"
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
    for sentence in found.contradictions[:ROWS]:
        yield Note(shortened(sentence), "warn")
    declared = [one for one in found.declared if personal or not is_personal(one.name)]
    if declared:
        yield Heading("Declared")
        rows = [
            (
                _words(one.name),
                _value(one.value, personal),
                shortened(one.state),
                shortened(one.source),
            )
            for one in declared[:ROWS]
        ]
        yield Table(("field", "value", "state", "stands in"), rows, _cut(len(declared)), ROWS)
    hidden = () if personal else filter(is_personal, (one.name for one in found.declared))
    if names := ", ".join(dict.fromkeys(map(_words, hidden))):
        yield Text(f"Left out, as it can lead to a person or a place: {shortened(names)}.")
    if found.measured:
        yield Heading("Measured in the file")
        figures = [
            (_words(one.name), _value(one.value, personal), one.unit, one.meaning, one.limits)
            for one in found.measured[:ROWS]
        ]
        headings = ("what", "value", "unit", "what it means", "its limits")
        yield Table(headings, figures, _cut(len(found.measured)), ROWS)
    if not (found.declared or found.measured or found.contradictions):
        yield Text("The file says nothing of its origin.")


def _cut(count: int) -> str:
    return f"the first {ROWS} of {count}" if count > ROWS else ""


def _words(name: str) -> str:
    return shortened(name.replace("_", " "))


def _value(value: Any, personal: bool) -> str:
    kept = value if personal else _without_persons(value)
    text = kept if isinstance(kept, str) else json.dumps(kept, ensure_ascii=False)
    return shortened(text, LENGTH)


def _without_persons(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_persons(v) for k, v in value.items() if not is_personal(str(k))}
    if isinstance(value, list):
        return [_without_persons(each) for each in value]
    return value
