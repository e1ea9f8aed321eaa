"""The plan of a run: its pictures, in shards of 64 that a worker does and writes together.

It is made once, before the first picture. So a run that goes on means the same pictures by the
same numbers, whatever has come into the folder meanwhile, and neither the driver nor a worker ever
holds the whole list.
"""

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from sida.data.formats.table import require_pyarrow
from sida.errors import ConfigError
from sida.evaluation import Shard
from sida.scale.listing import Item
from sida.scale.store import Store

__all__ = [
    "SHARD_SIZE",
    "PlannedShard",
    "Selection",
    "planned_shards",
    "read_shard",
    "select",
    "write_plan",
]

SHARD_SIZE = 64
"""Pictures that are done and written together."""
GROUPS = 256
"""Shards in a file of the plan, each a row group of it."""
_COLUMNS = ("name", "relative", "place", "row", "offset", "size", "error")


@dataclass(frozen=True)
class Selection:
    """The pictures of a run, out of those that its paths mean.

    Attributes:
        recursive: walk folders below folders.
        from_list: a file with a path or an address in each line.
        limit: only the first so many.
        sample: only this share, above 0 and up to 1, chosen by names.
        shard: one of several runs that together are the whole, each with a folder of its own.
    """

    recursive: bool = True
    from_list: str | Path | None = None
    limit: int | None = None
    sample: float | None = None
    shard: Shard = Shard()  # noqa: RUF009

    def __post_init__(self) -> None:
        if self.sample is not None and not 0 < self.sample <= 1:
            raise ConfigError(f"the sample is {self.sample}, expected a share above 0 and up to 1")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit is {self.limit}, expected at least 1")


class PlannedShard(NamedTuple):
    """A shard's number in the whole run, and the place of its pictures in the plan."""

    number: int
    file: int
    group: int


def select(items: Iterable[Item], selection: Selection) -> Iterator[Item]:
    """A share of the pictures, chosen by their names alone, and of these the first few."""
    if (sample := selection.sample) is not None:
        items = (item for item in items if _fraction(item.name) < sample)
    return islice(items, selection.limit)


def _fraction(name: str) -> float:
    """A number from 0 to 1 that is always the same for a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64


def write_plan(store: Store, items: Iterable[Item], part: Shard) -> tuple[int, int]:
    """Write the shards of a part of a run; gives its pictures, and the shards of all parts."""
    remaining, pictures, shards = iter(items), 0, 0
    file = _PlanFile(store)
    while shard := list(islice(remaining, SHARD_SIZE)):
        if part.has(shards):
            file.add(shard)
            pictures += len(shard)
        shards += 1
    file.flush()
    return pictures, shards


def planned_shards(count: int, part: Shard) -> list[PlannedShard]:
    """The shards of a part of a run, out of `count`."""
    numbers = [number for number in range(count) if part.has(number)]
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
