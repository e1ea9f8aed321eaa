"""The names of image generators in fields of a file, out of `generators.yaml`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Literal

import yaml

__all__ = ["Field", "generator_named", "generator_of_key"]

MAX_LENGTH = 1_000  # characters that are looked through

Field = Literal["software", "credit", "make"]


@dataclass(frozen=True)
class _Entry:
    name: str
    patterns: Mapping[str, re.Pattern[str]]
    keys: frozenset[str]


def generator_named(text: str, field: Field = "software") -> str | None:
    """The generator that a field names; None for other programs, cameras and people."""
    for entry in _entries():
        pattern = entry.patterns.get(field)
        if pattern is not None and pattern.search(text[:MAX_LENGTH]):
            return entry.name
    return None


def generator_of_key(keyword: str) -> str | None:
    """The generator that alone writes a text of that keyword."""
    lower_case = keyword.casefold()
    return next((entry.name for entry in _entries() if lower_case in entry.keys), None)


@cache
def _entries() -> tuple[_Entry, ...]:
    file = resources.files("sida").joinpath("provenance", "declared", "generators.yaml")
    return tuple(map(_entry, yaml.safe_load(file.read_text(encoding="utf-8"))))


def _entry(row: Mapping[str, object]) -> _Entry:
    patterns = {}
    for field in ("software", "credit", "make"):
        pattern = row["software"] if row.get(field) is True else row.get(field)
        if isinstance(pattern, str):
            patterns[field] = re.compile(pattern, re.IGNORECASE)
    keys = row.get("keys")
    lower_case = frozenset(map(str, keys)) if isinstance(keys, list) else frozenset()
    return _Entry(str(row["name"]), MappingProxyType(patterns), lower_case)
