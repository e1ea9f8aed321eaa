"""A statement of a file about itself, in a form that any file's text can be brought into."""

import json
from collections.abc import Iterable

from pydantic import JsonValue

from sida.verdict import Declared

__all__ = [
    "MAX_LENGTH",
    "ORIGIN",
    "left_out_in_words",
    "state_in_words",
    "statement",
    "without_thumbnails",
]

MAX_LENGTH = 10_000
"""Characters that are told of a text."""

ORIGIN = "origin"
"""Name of the statement that credentials declare the picture, or a part of it, as generated."""

_PLACE = ("latitude", "longitude")


def statement(name: str, value: JsonValue, source: str, state: str) -> Declared:
    """With long text cut, and halves of characters, which JSON cannot hold, replaced."""
    if isinstance(value, str) and len(value) > MAX_LENGTH:
        value = value[:MAX_LENGTH] + " …"
    whole = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return Declared(name=name, value=json.loads(whole), source=source, state=state)


def state_in_words(said: Declared) -> str:
    """The state, with the list that makes an issuer trusted."""
    return said.state if said.trusted_by is None else f"{said.state}, by {said.trusted_by}"


def left_out_in_words(names: Iterable[str]) -> str:
    """A sentence about statements that are there and are not told."""
    words = ("place (GPS)" if name in _PLACE else name.replace("_", " ") for name in names)
    return f"Left out, as it can lead to a person or a place: {', '.join(dict.fromkeys(words))}."


def without_thumbnails(said: Declared) -> tuple[JsonValue, list[tuple[str, str]]]:
    """A value with words for the thumbnails of ingredients in it, and these: (title, data URI).

    What is no JPEG in the text itself is left out: a page must not fetch what a line of JSON names.
    """
    of_credentials = said.name == "ingredients" and said.source.startswith("C2PA")
    if not (of_credentials and isinstance(said.value, list)):
        return said.value, []
    rows: list[JsonValue] = []
    found: list[tuple[str, str]] = []
    for each in said.value:
        if isinstance(each, dict):
            uri = str(each.get("thumbnail"))
            shown = uri.startswith("data:image/jpeg;base64,")
            found += [(str(each.get("title", "")), uri)] * shown
            each = {**each, "thumbnail": "a picture" if shown else None}
        rows.append(each)
    return rows, found
