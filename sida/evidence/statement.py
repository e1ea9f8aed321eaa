"""A statement of a file about itself, in a form that any file's text can be brought into."""

import json

from pydantic import JsonValue

from sida.verdict import Declared

__all__ = ["MAX_LENGTH", "statement"]

MAX_LENGTH = 10_000
"""Characters that are told of a text."""


def statement(name: str, value: JsonValue, source: str, state: str) -> Declared:
    """With long text cut, and halves of characters, which JSON cannot hold, replaced."""
    if isinstance(value, str) and len(value) > MAX_LENGTH:
        value = value[:MAX_LENGTH] + " …"
    whole = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return Declared(name=name, value=json.loads(whole), source=source, state=state)
