"""The plan of a run: which pictures, in parts of 64 that are judged and written together.

It is made once, before the first picture is judged. So a run that goes on means the same pictures
by the same numbers, whatever has come into the folder meanwhile, and neither the driver nor a
worker ever holds the whole list.
"""

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from itertools import islice
from typing import Any, NamedTuple

from sida.data.formats.table import require_pyarrow
from sida.evaluation import Shard
from sida.scale.listing import Item
from sida.scale.store import Store

__all__ = ["PART", "Place", "chosen", "places", "read_part", "write_plan"]

PART = 64
"""Pictures that are judged and written together."""
GROUPS = 256
"""Parts in a file of the plan."""
_COLUMNS = ("name", "relative", "place", "row", "offset", "size", "error")


class Place(NamedTuple):
    """A part's number, and where its pictures stand in the plan."""

    part: int
    file: int
    group: int


def chosen(items: Iterable[Item], sample: float | None, limit: int | None) -> Iterator[Item]:
    """A share of the pictures, told by their names alone, and of these the first few."""
    if sample is not None:
        items = (item for item in items if _lot(item.name) < sample)
    return islice(items, limit)


def _lot(name: str) -> float:
    """A number from 0 to 1 that is always the same for a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64


def write_plan(store: Store, items: Iterable[Item], shard: Shard) -> tuple[int, int]:
    """Write the parts of a shard; returns its pictures, and how many parts all shards have."""
    coming, pictures, parts = iter(items), 0, 0
    file = _File(store)
    while part := list(islice(coming, PART)):
        if shard.has(parts):
            file.add(part)
            pictures += len(part)
        parts += 1
    file.flush()
    return pictures, parts


def places(parts: int, shard: Shard) -> list[Place]:
    """Where the parts of a shard stand."""
    own = [part for part in range(parts) if shard.has(part)]
    return [Place(part, *divmod(index, GROUPS)) for index, part in enumerate(own)]


def read_part(store: Store, place: Place) -> list[Item]:
    """The pictures of one part."""
    with (
        store.open(_name(place.file)) as stream,
        require_pyarrow().ParquetFile(stream) as file,
    ):
        rows = file.read_row_group(place.group).to_pylist()
    return [Item(**(row | {"place": os.fsdecode(row["place"])})) for row in rows]


class _File:
    """Collects parts until a file of the plan is full: each is a row group of it."""

    def __init__(self, store: Store) -> None:
        self._store, self._number, self._groups = store, 0, list[Any]()

    def add(self, part: list[Item]) -> None:
        import pyarrow as pa

        columns = dict(zip(_COLUMNS, map(list, zip(*map(astuple, part), strict=True)), strict=True))
        columns["place"] = [os.fsencode(place) for place in columns["place"]]  # need not be UTF-8
        whole = dict.fromkeys(("row", "offset", "size"), pa.int64())
        kinds = dict.fromkeys(_COLUMNS, pa.string()) | {"place": pa.binary()} | whole
        self._groups.append(pa.table(columns, pa.schema(kinds)))
        if len(self._groups) == GROUPS:
            self.flush()

    def flush(self) -> None:
        if not self._groups:
            return
        content = io.BytesIO()
        with require_pyarrow().ParquetWriter(content, self._groups[0].schema) as writer:
            for group in self._groups:
                writer.write_table(group)
        self._store.write(_name(self._number), content.getvalue())
        self._number, self._groups = self._number + 1, []


def _name(file: int) -> str:
    return f"plan/{file:06}.parquet"
