"""A statement of a file about itself, in a form that any file's text can be brought into."""

import json

from pydantic import JsonValue

from sida.verdict import Declared

__all__ = ["MAX_LENGTH", "statement", "without_thumbnails"]

MAX_LENGTH = 10_000
"""Characters that are told of a text."""


def statement(name: str, value: JsonValue, source: str, state: str) -> Declared:
    """With long text cut, and halves of characters, which JSON cannot hold, replaced."""
    if isinstance(value, str) and len(value) > MAX_LENGTH:
        value = value[:MAX_LENGTH] + " …"
    whole = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return Declared(name=name, value=json.loads(whole), source=source, state=state)


def without_thumbnails(said: Declared) -> tuple[JsonValue, list[tuple[str, str]]]:
    """A value with words for the thumbnails of ingredients in it, and these: (title, data URI).

    What is no JPEG in the text itself is left out: a page must not fetch what a line of JSON names.
    """
    if (said.name, said.source) != ("ingredients", "C2PA") or not isinstance(said.value, list):
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
