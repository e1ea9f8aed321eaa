"""Writer of the parquet layout: shards of rows with the files' bytes in them."""

import json
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from sida.data.formats.parquet import UNNAMED
from sida.data.formats.table import require_pyarrow
from sida.data.writing.writers import ColumnTypes, ExportItem, ExportRow
from sida.files import write_whole
from sida.verdict import LABELS

__all__ = ["ParquetWriter"]

SHARD_ROWS, GROUP_ROWS = 500, 25
_REWRITTEN = ("img_id", "width", "height")  # a manifest's columns of these names are written anew
_TYPES = {bool: "bool", int: "int64", float: "float64", str: "string"}


class ParquetWriter:
    """`data/SPLIT-00000-of-00004.parquet`, which the `datasets` library reads as they are (and
    calls `train` where there are no splits).

    A shard is written whole, so its rows are complete only then. Splits come one after the other.
    """

    def __init__(self, root: Path, extra_columns: ColumnTypes) -> None:
        self.root = root
        require_pyarrow()
        self._extra_columns = {
            name: value_type for name, value_type in extra_columns.items() if name not in _REWRITTEN
        }
        self._shards: dict[str, int] = {}
        self._ids: set[tuple[str | None, str, str]] = set()
        self._rows: list[ExportRow] = []
        self._table: list[dict[str, object]] = []
        self._shard: tuple[ExitStack, Any, Path] | None = None

    def add(self, item: ExportItem) -> list[ExportRow]:
        """Put the picture into the open shard; the rows of a shard are given when it is full."""
        complete: list[ExportRow] = []
        # A shard belongs to one split, whose name its own begins with.
        if self._rows and self._rows[-1]["split"] != item.split:
            complete = self.flush()
        if self._shard is None:
            self._open_shard(item.split)
        name = self._id(item)
        self._rows.append({"split": item.split, "label": item.label, "img_id": name, "files": {}})
        self._table.append(_parquet_row(item, name, self._extra_columns))
        if len(self._table) == GROUP_ROWS:
            self._write_group()
        return complete + (self.flush() if len(self._rows) == SHARD_ROWS else [])

    def flush(self) -> list[ExportRow]:
        """Finish the open shard and give its rows; the last one names the file."""
        if self._shard is None:
            return []
        self._write_group()
        stack, writer, path = self._shard
        writer.close()
        stack.close()
        self._rows[-1]["files"] = {str(path): (self.root / path).stat().st_size}
        complete, self._rows, self._shard = self._rows, [], None
        return complete

    def discard(self) -> None:
        """Leave the open shard, which is not written then."""
        if self._shard is not None:
            stack, writer, _ = self._shard
            with suppress(OSError):
                writer.close()
            # The stack holds `write_whole`, which keeps the file only if no error leaves it.
            stack.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)

    def recall(self, row: ExportRow) -> None:
        """Its id is taken, and its shard if it closed one."""
        self._ids.add((row["split"], row["label"], row["img_id"]))
        if row["files"]:
            self._count(row["split"])

    def finish(self, rows: Sequence[ExportRow]) -> None:
        """The number of shards goes into their names."""
        for name, count in self._shards.items():
            for number in range(count):
                unfinished = self.root / "data" / f"{_stem(name, number)}.parquet"
                unfinished.rename(
                    unfinished.with_name(f"{_stem(name, number)}-of-{count:05}.parquet")
                )

    def _open_shard(self, split: str | None) -> None:
        parquet = require_pyarrow()
        path = Path("data") / f"{_stem(split or UNNAMED, self._count(split))}.parquet"
        stack = ExitStack()
        temporary = stack.enter_context(write_whole(self.root / path))
        writer = parquet.ParquetWriter(
            temporary,
            _schema(self._extra_columns),
            use_dictionary=["label", "source", "group"],
            write_batch_size=1,  # a page a picture: readers fetch no more than they need
        )
        self._shard = (stack, writer, path)

    def _count(self, split: str | None) -> int:
        """The number of the next shard of a split."""
        name = split or UNNAMED
        self._shards[name] = self._shards.get(name, 0) + 1
        return self._shards[name] - 1

    def _id(self, item: ExportItem) -> str:
        number, stem = 1, PurePosixPath(item.name).stem
        name = stem
        while (item.split, item.label, name) in self._ids:
            number += 1
            name = f"{stem}~{number}"
        self._ids.add((item.split, item.label, name))
        return name

    def _write_group(self) -> None:
        import pyarrow

        if self._table and self._shard is not None:
            schema = _schema(self._extra_columns)
            self._shard[1].write_table(pyarrow.Table.from_pylist(self._table, schema))
            self._table = []


def _stem(split: str, number: int) -> str:
    return f"{number:05}" if split == UNNAMED else f"{split}-{number:05}"


def _parquet_row(item: ExportItem, name: str, extra_columns: ColumnTypes) -> dict[str, object]:
    mask = None
    if item.mask is not None:
        mask = {"bytes": item.mask, "path": f"{name}_mask{item.mask_suffix}"}
    cells = {
        key: convert(item.more[key]) for key, convert in extra_columns.items() if key in item.more
    }
    return {
        **cells,
        "img_id": name,
        "image": {"bytes": item.data, "path": item.name},
        "mask": mask,
        "width": item.size[1],
        "height": item.size[0],
        "label": LABELS.index(item.label),
        "description": item.description,
        "source": item.source,
        "group": item.group,
    }


def _schema(extra_columns: ColumnTypes) -> Any:
    """Arrow's types, and beside them what makes `datasets` see pictures and named classes."""
    import pyarrow as pa

    file = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns = {
        "img_id": pa.string(), "image": file, "mask": file, "width": pa.int32(),
        "height": pa.int32(), "label": pa.int64(), "description": pa.string(),
        "source": pa.string(), "group": pa.string(),
    }  # fmt: skip
    columns |= {
        name: pa.type_for_alias(_TYPES[value_type]) for name, value_type in extra_columns.items()
    }
    features: dict[str, Any] = {
        name: {"dtype": str(value_type).replace("double", "float64"), "_type": "Value"}
        for name, value_type in columns.items()
    }
    features |= {"image": {"_type": "Image"}, "mask": {"_type": "Image"}}
    features["label"] = {"names": list(LABELS), "_type": "ClassLabel"}
    stored = json.dumps({"info": {"features": features}})
    return pa.schema(list(columns.items()), metadata={"huggingface": stored})
