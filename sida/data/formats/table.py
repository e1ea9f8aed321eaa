"""Tables of rows with named columns: CSV, JSON lines, and parquet without pictures in it."""

import csv
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from sida.data.sample import CellValue
from sida.errors import DataError, optional_package

__all__ = ["COLUMNS", "TABLES", "find_manifest", "further_cells", "read_table", "require_pyarrow"]

TABLES = (".csv", ".jsonl", ".parquet")
COLUMNS = ("image", "label", "mask", "description", "source", "group", "split")
"""Columns that are read of a manifest; further ones are its maker's."""


def find_manifest(folder: Path) -> Path | None:
    """The file `manifest.{csv,jsonl,parquet}` of a folder; None where there is none.

    Raises DataError where there are several.
    """
    files = [file for suffix in TABLES if (file := folder / f"manifest{suffix}").is_file()]
    if len(files) > 1:
        names = " and ".join(file.name for file in files)
        raise DataError(f"{str(folder)!r} holds {names}, expected one manifest: remove the others")
    return files[0] if files else None


def read_table(
    file: Path, columns: tuple[str, ...] | None = None
) -> Iterator[Mapping[str, object]]:
    """The rows of a table; empty cells are None. `columns` are those wanted of a parquet file.

    Raises:
        DataError: the file is not what its suffix says.
        MissingExtra: it is parquet, and pyarrow is not installed.
    """
    reader = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}.get(file.suffix.lower())
    if reader is None:
        raise DataError(f"{str(file)!r} is not a table: expected {', '.join(TABLES)}")
    try:
        for row in reader(file, columns):
            yield {key: None if value == "" else value for key, value in row.items()}
    except (OSError, ValueError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{str(file)!r} cannot be read as {file.suffix[1:].upper()}: {reason}"
        ) from error


def further_cells(
    row: Mapping[str, object], known: Collection[str] = COLUMNS
) -> dict[str, CellValue]:
    """The cells of columns that are not `known` and not empty: numbers, texts, all else as JSON."""
    return {
        key: value if isinstance(value, bool | int | float | str) else _json(value)
        for key, value in row.items()
        if key not in known and value is not None and value != ""
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def require_pyarrow() -> Any:
    """The module `pyarrow.parquet`. Raises MissingExtra."""
    with optional_package("pyarrow", "data", "Parquet"):
        import pyarrow.parquet
    return pyarrow.parquet


def _csv(file: Path, columns: object) -> Iterator[Mapping[str, object]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream):
            yield {key: value for key, value in row.items() if key is not None}


def _json_lines(file: Path, columns: object) -> Iterator[Mapping[str, object]]:
    with file.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not an object")
            yield row


def _parquet(file: Path, columns: tuple[str, ...] | None) -> Iterator[Mapping[str, object]]:
    parquet = require_pyarrow()
    with parquet.ParquetFile(file) as table:
        names = set(table.schema_arrow.names)
        selection = None if columns is None else [name for name in columns if name in names]
        for batch in table.iter_batches(batch_size=1024, columns=selection):
            yield from batch.to_pylist()
