"""The parquet layout: a row a picture, with the files' bytes in it, as SID-Set is on the hub.

Columns: `image` (bytes, or a struct of bytes and path) and `label`; if there, `img_id`, `mask`,
`description`, `source`, `group`. Pictures are fetched from the file when they are read, so a set
may be larger than the memory; reading in order costs one pass over the file.
"""

import json
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sida.data.dataset import Dataset
from sida.data.formats.table import further_cells, require_pyarrow
from sida.data.formats.unique_names import UniqueNames
from sida.data.labels import Tally, label_of, unknown_label
from sida.data.problems import Report
from sida.data.sample import Sample
from sida.errors import DataError
from sida.verdict import LABELS

__all__ = [
    "COLUMNS",
    "UNNAMED",
    "ParquetCell",
    "ParquetShard",
    "RowSamples",
    "class_names",
    "holds_pictures",
    "open_parquet",
    "parquet_splits",
    "release_memory",
]

BATCH = 8  # rows held together: pictures of 1024 px take about 1 MB each
CACHED_BATCHES = 4  # batches that readers a little behind still find
BUFFER = 1 << 20  # bytes read at a time, instead of a whole column of a row group

_TEXTS = ("img_id", "label", "description", "source", "group")
COLUMNS = (*_TEXTS, "image", "mask")
"""Columns that are read of a file; further ones are its maker's."""
_STANDARD_COLUMNS = (*COLUMNS, "width", "height", "image_path", "has_mask")
UNNAMED = "all"
"""Split of files that name none: 00000-of-00003.parquet."""

_NUMBER = re.compile(r"-?\b\d{4,}(-of-\d+)?$")


def holds_pictures(file: Path) -> bool:
    """True if a parquet file has pictures in it, not only paths to them."""
    schema = ParquetShard(file).schema
    return "image" in schema.names and not _is_text(schema.field("image").type)


def parquet_splits(path: Path) -> dict[str, list[Path]]:
    """Files with pictures by split; the split is told from the name, or from the folder's.

    `data/train-00000-of-00249.parquet` and `train/a.parquet` are of the split "train".
    """
    if path.is_file():
        return {_split_of(path): [path]}
    files = [file for file in sorted(path.glob("*.parquet")) if file.stem != "manifest"]
    splits: dict[str, list[Path]] = {}
    for file in files or sorted(path.glob("data/*.parquet")):
        splits.setdefault(_split_of(file), []).append(file)
    for file in () if splits else sorted(path.glob("*/*.parquet")):
        if file.stem != "manifest":
            splits.setdefault(file.parent.name, []).append(file)
    return splits


def _split_of(file: Path) -> str:
    return _NUMBER.sub("", file.stem) or UNNAMED


def open_parquet(
    files: Sequence[Path],
    name: str,
    split: str | None = None,
    names: Sequence[str] | None = None,
    further: bool = False,
) -> Dataset:
    """The samples of some parquet files, in their order.

    Args:
        files: of one split.
        name: as the user named the set.
        split: the split's name.
        names: the classes 0, 1, 2 of the label column; without them the file's own names are
            taken, and if it has none the order of `LABELS`.
        further: whether numbers and texts of further columns go into `Sample.more`.

    Raises:
        DataError: a file is no parquet, has not the columns needed, or labels of another kind.
        MissingExtra: pyarrow is not installed.
    """
    report = Report()
    rows = RowSamples(names, report)
    samples = [sample for file in files for sample in _samples(ParquetShard(file), rows, further)]
    rows.tally.require_known(f"{name!r}")
    if not samples:
        raise DataError(f"{name!r} has no row that can be used: found {rows.tally.rows} rows")
    return Dataset(samples, report, name, None if split == UNNAMED else split, "parquet")


def _samples(shard: "ParquetShard", rows: "RowSamples", further: bool) -> Iterator[Sample]:
    file_names = class_names(shard.schema) if rows.names is None else None
    for index, row in enumerate(shard.texts(further)):
        image = ParquetCell(shard, index, "image")
        mask = ParquetCell(shard, index, "mask") if row["has_mask"] else None
        sample = rows(row, image, mask, file_names)
        if sample is not None:
            yield sample


class RowSamples:
    """Makes samples of rows, gives them names, and reports those that cannot be used."""

    def __init__(self, names: Sequence[str] | None, report: Report) -> None:
        self.names, self.report, self.tally = names, report, Tally()
        # Names are the keys of reports and of exports, so two rows must never share one.
        self._unique = UniqueNames()

    def __call__(
        self,
        row: Mapping[str, object],
        image: "ParquetCell | bytes",
        mask: "ParquetCell | bytes | None",
        file_names: Sequence[str] | None = None,
    ) -> Sample | None:
        """Sample of a row, or None. `file_names` are the file's own names for 0, 1, 2."""
        label = label_of(row["label"], self.names or file_names or LABELS)
        self.tally.add(row["label"], label)
        base = PurePosixPath(str(row.get("image_path") or row.get("img_id") or "")).name
        base = base or f"row {self.tally.rows - 1}"
        name = self._unique(f"{label or row['label']}/{base}", self.report)
        if label is None:
            self.report.add("unknown_label", name, unknown_label(row["label"]))
            return None
        if label != "tampered":
            mask = None  # SID-Set has a column of them for every class
        elif mask is None:
            self.report.add("missing_mask", name, "it has no mask; it is used for its class alone")
        description, source, group = map(_text, map(row.get, ("description", "source", "group")))
        cells = further_cells(row, _STANDARD_COLUMNS)
        return Sample(
            image, label, mask, description, source, group, name, more=cells, report=self.report
        )


def _text(value: object) -> str | None:
    return None if value is None or value == "" else str(value)


@dataclass(frozen=True, eq=False)
class ParquetCell:
    """A file's bytes in a row of a parquet file, fetched when they are read."""

    shard: "ParquetShard"
    row: int
    column: str

    def read_bytes(self) -> bytes:
        """The bytes; none at all where the cell is empty."""
        return self.shard.bytes_of(self.row, self.column)

    def __str__(self) -> str:
        return f"{self.shard.path}, row {self.row}, {self.column}"


class ParquetShard:
    """A parquet file: its texts at once, its pictures a few rows at a time.

    Reading goes forward through the file; a row that lies behind costs a pass over its row group
    up to it. Threads may share a shard, and it may be sent to another process.
    """

    def __init__(self, path: Path, system: Any = None) -> None:
        """`system` is a file system of fsspec; without one the path is on this machine."""
        self.path, self.system = path, system
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._batches: Iterator[Any] | None = None
        self._cached: deque[tuple[int, Any]] = deque(maxlen=CACHED_BATCHES)
        self._next = 0

    # An open file and a lock cannot go to another process: it opens its own.
    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "system": self.system}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(state["path"], state["system"])  # type: ignore[misc]

    @property
    def schema(self) -> Any:
        """The file's Arrow schema."""
        with self._opened() as file:
            return file.schema_arrow

    def texts(self, further: bool = False) -> Iterator[dict[str, object]]:
        """Every row without its pictures, with `image_path` and `has_mask`.

        `further` adds the numbers and texts of further columns.
        """
        with self._opened() as file:
            schema = file.schema_arrow
            _require_columns(self.path, schema.names)
            columns = [name for name in _TEXTS if name in schema.names]
            if further:
                columns += [field.name for field in schema if _is_further(field)]
            # The path inside of a struct tells that a cell is filled without its bytes being read.
            light = [name for name in ("image", "mask") if _has_path(schema, name)]
            columns += [f"{name}.path" for name in light]
            heavy = ["mask"] if "mask" in schema.names and "mask" not in light else []
            # Masks as bare bytes have to be read to see which are empty: few at a time.
            size = BATCH if heavy else 1024
            for batch in file.iter_batches(batch_size=size, columns=columns + heavy):
                yield from _text_rows(batch)

    def bytes_of(self, row: int, column: str) -> bytes:
        """The bytes of one cell.

        Raises OSError where the file has been changed or removed.
        """
        # One thread at a time moves the reader; the copy of the bytes is made inside, too.
        with self._lock:
            start, batch = self._find(row)
            value = batch.column(column)[row - start].as_py()
        if isinstance(value, dict):
            if value.get("bytes") is None and value.get("path"):
                return Path(self.path.parent, value["path"]).read_bytes()
            value = value.get("bytes")
        return bytes(value or b"")

    def _find(self, row: int) -> tuple[int, Any]:
        """The batch that holds a row, and the row it begins with."""
        for start, batch in self._cached:
            if start <= row < start + batch.num_rows:
                return start, batch
        # Forward through the file is cheap; only a row that lies behind begins a group anew.
        if self._batches is None or row < self._next:
            self._seek(row)
        assert self._batches is not None
        for batch in self._batches:
            start, self._next = self._next, self._next + batch.num_rows
            self._cached.append((start, batch))
            # Arrow keeps freed memory: it is given back once the kept batches have been replaced.
            if start % (CACHED_BATCHES * BATCH) == 0:
                release_memory()
            if row < self._next:
                return start, batch
        raise OSError(f"{str(self.path)!r} has no row {row} any more")

    def _seek(self, row: int) -> None:
        """Begin anew at the row group of a row."""
        self._forget()
        file = self._open()
        group, start = 0, 0
        while start + (rows := file.metadata.row_group(group).num_rows) <= row:
            group, start = group + 1, start + rows
        columns = [name for name in ("image", "mask") if name in file.schema_arrow.names]
        groups = range(group, file.num_row_groups)
        self._batches = file.iter_batches(batch_size=BATCH, row_groups=groups, columns=columns)
        self._next = start

    def _open(self) -> Any:
        parquet = require_pyarrow()
        try:
            path = self.path if self.system is None else self.path.as_posix()
            return parquet.ParquetFile(
                path, buffer_size=BUFFER, pre_buffer=False, filesystem=self.system
            )
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{str(self.path)!r} cannot be read as parquet: {reason}") from error

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        file = self._open()
        try:
            yield file
        finally:
            file.close()


def release_memory() -> None:
    """Give back what Arrow has freed: it keeps it otherwise, a row group beside the next."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()


def class_names(schema: Any) -> tuple[str, ...] | None:
    """The names of the classes that the `datasets` library stored beside the columns."""
    stored = (schema.metadata or {}).get(b"huggingface")
    if stored is None:
        return None
    label = json.loads(stored).get("info", {}).get("features", {}).get("label", {})
    names = label.get("names")
    return tuple(names) if names else None


def _require_columns(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in ("image", "label") if name not in names]
    if missing:
        raise DataError(
            f"{str(path)!r} has no column {' and no column '.join(missing)}: found "
            f"{', '.join(names)}, expected img_id, image, mask, label"
        )


def _text_rows(batch: Any) -> Iterator[dict[str, object]]:
    names = batch.schema.names
    texts = [name for name in names if name not in ("image", "mask")]
    columns = {name: batch.column(name).to_pylist() for name in texts}
    has_path = _has_path(batch.schema, "image")
    paths = batch.column("image").field("path").to_pylist() if has_path else None
    masks = batch.column("mask").is_valid().to_pylist() if "mask" in names else None
    for index in range(batch.num_rows):
        row = {name: values[index] for name, values in columns.items()}
        row["image_path"] = paths and paths[index]
        row["has_mask"] = bool(masks and masks[index])
        yield row


def _has_path(schema: Any, column: str) -> bool:
    """True if a column is a struct with a path, which tells empty cells without their bytes."""
    if column not in schema.names:
        return False
    column_type = schema.field(column).type
    return str(column_type).startswith("struct") and any(
        field.name == "path" for field in column_type
    )


def _is_further(field: Any) -> bool:
    from pyarrow import types

    heavy = types.is_nested(field.type) or types.is_binary(field.type)
    return (
        field.name not in _STANDARD_COLUMNS and not heavy and not types.is_large_binary(field.type)
    )


def _is_text(column_type: Any) -> bool:
    return str(column_type) in ("string", "large_string", "string_view")
