"""The plan of a run: its pictures, in shards of 64 that a worker does and writes together.

It is made once, before the first picture. So a run that goes on means the same pictures by the
same numbers, whatever has come into the folder meanwhile, and neither the driver nor a worker ever
holds the whole list.
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

__all__ = ["SHARD_SIZE", "PlannedShard", "planned_shards", "read_shard", "select", "write_plan"]

SHARD_SIZE = 64
"""Pictures that are done and written together."""
GROUPS = 256
"""Shards in a file of the plan, each a row group of it."""
_COLUMNS = ("name", "relative", "place", "row", "offset", "size", "error")


class PlannedShard(NamedTuple):
    """A shard's number in the whole run, and the place of its pictures in the plan."""

    number: int
    file: int
    group: int


def select(items: Iterable[Item], sample: float | None, limit: int | None) -> Iterator[Item]:
    """A share of the pictures, chosen by their names alone, and of these the first few."""
    if sample is not None:
        items = (item for item in items if _fraction(item.name) < sample)
    return islice(items, limit)


def _fraction(name: str) -> float:
    """A number from 0 to 1 that is always the same for a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64


def write_plan(store: Store, items: Iterable[Item], selection: Shard) -> tuple[int, int]:
    """Write the shards of a selection; gives its pictures, and the shards of all selections."""
    remaining, pictures, shards = iter(items), 0, 0
    file = _PlanFile(store)
    while shard := list(islice(remaining, SHARD_SIZE)):
        if selection.has(shards):
            file.add(shard)
            pictures += len(shard)
        shards += 1
    file.flush()
    return pictures, shards


def planned_shards(count: int, selection: Shard) -> list[PlannedShard]:
    """The shards of a selection, out of `count`."""
    numbers = [number for number in range(count) if selection.has(number)]
    return [PlannedShard(number, *divmod(i, GROUPS)) for i, number in enumerate(numbers)]


def read_shard(store: Store, shard: PlannedShard) -> list[Item]:
    """The pictures of one shard."""
    with (
        store.open(_name(shard.file)) as stream,
        require_pyarrow().ParquetFile(stream) as file,
    ):
        rows = file.read_row_group(shard.group).to_pylist()
    return [Item(**(row | {"place": os.fsdecode(row["place"])})) for row in rows]


class _PlanFile:
    """Shards in memory until a file of the plan is full."""

    def __init__(self, store: Store) -> None:
        self._store, self._number, self._groups = store, 0, list[Any]()

    def add(self, shard: list[Item]) -> None:
        import pyarrow as pa

        columns = dict(
            zip(_COLUMNS, map(list, zip(*map(astuple, shard), strict=True)), strict=True)
        )
        # Paths are bytes on Linux, and parquet's text is UTF-8.
        columns["place"] = [
            os.fsencode(address) for address in columns["place"]
        ]  # need not be UTF-8
        integers = dict.fromkeys(("row", "offset", "size"), pa.int64())
        types = dict.fromkeys(_COLUMNS, pa.string()) | {"place": pa.binary()} | integers
        self._groups.append(pa.table(columns, pa.schema(types)))
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
