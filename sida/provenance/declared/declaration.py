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

_LOCATION = ("latitude", "longitude")


def statement(name: str, value: JsonValue, source: str, state: str) -> Declared:
    """With long text cut, and halves of characters, which JSON cannot hold, replaced."""
    if isinstance(value, str) and len(value) > MAX_LENGTH:
        value = value[:MAX_LENGTH] + " …"
    encoded = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return Declared(name=name, value=json.loads(encoded), source=source, state=state)


def state_in_words(declared: Declared) -> str:
    """The state, with the list that makes an issuer trusted."""
    return (
        declared.state
        if declared.trusted_by is None
        else f"{declared.state}, by {declared.trusted_by}"
    )


def left_out_in_words(names: Iterable[str]) -> str:
    """A sentence about statements that are there and are not told."""
    words = ("place (GPS)" if name in _LOCATION else name.replace("_", " ") for name in names)
    return f"Left out, as it can lead to a person or a place: {', '.join(dict.fromkeys(words))}."


def without_thumbnails(declared: Declared) -> tuple[JsonValue, list[tuple[str, str]]]:
    """A value with words for the thumbnails of ingredients in it, and these: (title, data URI).

    What is no JPEG in the text itself is left out: a page must not fetch what a line of JSON names.
    """
    of_credentials = declared.name == "ingredients" and declared.source.startswith("C2PA")
    if not (of_credentials and isinstance(declared.value, list)):
        return declared.value, []
    rows: list[JsonValue] = []
    thumbnails: list[tuple[str, str]] = []
    for entry in declared.value:
        if isinstance(entry, dict):
            uri = str(entry.get("thumbnail"))
            is_jpeg = uri.startswith("data:image/jpeg;base64,")
            thumbnails += [(str(entry.get("title", "")), uri)] * is_jpeg
            entry = {**entry, "thumbnail": "a picture" if is_jpeg else None}
        rows.append(entry)
    return rows, thumbnails
