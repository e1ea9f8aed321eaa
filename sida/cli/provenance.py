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
SHOWN = 400  # characters of a value; the JSON has more


def provenance_text(found: Provenance | Inspection) -> str:
    """Lines without the name of the file, each ended; control characters are escaped."""
    lines: list[str] = []
    origins = [each for each in found.declared if each.name == ORIGIN]
    for each in origins:  # before all else: a signature that holds is read as "a photograph"
        lines += _wrapped(f"! {_line(each)}", "  ")
    for said in found.contradictions:
        lines += _wrapped(f"! {said}", "  ")
    for each in found.declared:
        if each not in origins:
            lines += _wrapped(_line(each), "  ")
    if not found.declared and not found.left_out:
        lines.append("  The file declares nothing.")
    if found.left_out:
        lines += _wrapped(left_out_in_words(found.left_out), "  ")
    for measure in found.measured:
        unit = f" {measure.unit}" if measure.unit and measure.value is not None else ""
        lines += _wrapped(f"{measure.name}: {_shown(measure.value)}{unit}", "  ")
        meaning = "" if measure.value is None else measure.meaning
        lines += _wrapped(f"{meaning} {measure.limits}", "      ")
    return "".join(f"{line}\n" for line in lines)


def _line(said: Declared) -> str:
    value, _ = without_thumbnails(said)
    return f"{said.name}: {_shown(value)} [{said.source}: {state_in_words(said)}]"


def _wrapped(text: str, indent: str) -> Iterator[str]:
    yield from textwrap.wrap(
        plain(" ".join(text.split())), WIDTH, initial_indent=indent, subsequent_indent=indent + "  "
    )


def _shown(value: object) -> str:
    if value is None:
        return "none found"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[:SHOWN] + " …"
