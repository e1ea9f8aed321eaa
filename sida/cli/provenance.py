"""Provenance as a person reads it: what is declared, what was measured, what does not fit."""

import json
import textwrap
from collections.abc import Iterator

from sida.cli.table import plain
from sida.provenance.declared.declaration import (
    ORIGIN,
    left_out_in_words,
    state_in_words,
    without_thumbnails,
)
from sida.verdict import Declared, Inspection, Provenance

__all__ = ["provenance_text"]

WIDTH = 118
MAX_LENGTH = 400  # characters of a value; the JSON has more


def provenance_text(provenance: Provenance | Inspection) -> str:
    """Lines without the name of the file, each ended; control characters are escaped."""
    lines: list[str] = []
    origins = [entry for entry in provenance.declared if entry.name == ORIGIN]
    for entry in origins:  # before all else: a signature that holds is read as "a photograph"
        lines += _wrapped(f"! {_line(entry)}", "  ")
    for sentence in provenance.contradictions:
        lines += _wrapped(f"! {sentence}", "  ")
    for entry in provenance.declared:
        if entry not in origins:
            lines += _wrapped(_line(entry), "  ")
    if not provenance.declared and not provenance.left_out:
        lines.append("  The file declares nothing.")
    if provenance.left_out:
        lines += _wrapped(left_out_in_words(provenance.left_out), "  ")
    for measure in provenance.measured:
        unit = f" {measure.unit}" if measure.unit and measure.value is not None else ""
        lines += _wrapped(f"{measure.name}: {_shortened(measure.value)}{unit}", "  ")
        meaning = "" if measure.value is None else measure.meaning
        lines += _wrapped(f"{meaning} {measure.limits}", "      ")
    return "".join(f"{line}\n" for line in lines)


def _line(entry: Declared) -> str:
    value, _ = without_thumbnails(entry)
    return f"{entry.name}: {_shortened(value)} [{entry.source}: {state_in_words(entry)}]"


def _wrapped(text: str, indent: str) -> Iterator[str]:
    yield from textwrap.wrap(
        plain(" ".join(text.split())), WIDTH, initial_indent=indent, subsequent_indent=indent + "  "
    )


def _shortened(value: object) -> str:
    if value is None:
        return "none found"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_LENGTH else text[:MAX_LENGTH] + " …"
