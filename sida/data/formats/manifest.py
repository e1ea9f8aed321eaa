"""A table of one's own: a row a picture, `image,label,mask,description,source,group`.

Paths are relative to the table's folder. Only `image` and `label` are needed; a column `split`
makes several sets of one table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sida.data.dataset import Dataset
from sida.data.formats.table import COLUMNS, further_cells, read_table
from sida.data.formats.unique_names import UniqueNames
from sida.data.labels import Tally, label_of, unknown_label
from sida.data.problems import Report
from sida.data.sample import Sample
from sida.errors import DataError
from sida.verdict import LABELS

__all__ = ["manifest_splits", "open_manifest"]


def manifest_splits(file: Path) -> list[str]:
    """The values of the column `split`, in alphabetical order."""
    return sorted({str(row["split"]) for row in read_table(file, COLUMNS) if row.get("split")})


def open_manifest(
    file: Path,
    name: str,
    split: str | None = None,
    names: Sequence[str] = LABELS,
    columns: tuple[str, ...] | None = COLUMNS,
) -> Dataset:
    """The samples of a table, in its order; `names` are the classes 0, 1, 2 of its labels.

    With `columns` None its further ones go into `Sample.more`.

    Raises:
        DataError: it has no rows, not the columns needed, or labels of another kind.
    """
    report, tally, unique = Report(), Tally(), UniqueNames()
    samples = []
    for row in read_table(file, columns):
        if not tally.rows:
            _require_columns(file, row)
        if split is not None and row.get("split") not in (None, split):
            continue
        label = label_of(row["label"], names)
        tally.add(row["label"], label)
        cells = further_cells(row) if columns is None else {}
        sample = _sample(file.parent, row, cells, label, unique, report)
        if sample is not None:
            samples.append(sample)
    tally.require_known(f"the manifest {name!r}")
    if not samples:
        raise DataError(
            f"the manifest {name!r} leads to no picture: found {tally.rows} rows, of which none "
            "names a picture that is there; paths are relative to the manifest's folder"
        )
    return Dataset(samples, report, name, split, "manifest")


def _require_columns(file: Path, row: Mapping[str, Any]) -> None:
    missing = [column for column in ("image", "label") if column not in row]
    if missing:
        header = ", ".join(map(str, row)) or "none"
        raise DataError(
            f"the manifest {str(file)!r} has no column {' and no column '.join(missing)}: found "
            f"{header}, expected image and label, and if known mask, description, source, group"
        )


def _sample(
    folder: Path,
    row: Mapping[str, Any],
    cells: Mapping[str, Any],
    label: str | None,
    unique: UniqueNames,
    report: Report,
) -> Sample | None:
    image = str(row["image"] or "")
    name = unique(image or "a row without image", report)
    if label is None:
        report.add("unknown_label", name, unknown_label(row["label"]))
        return None
    if not image or not (folder / image).is_file():
        report.add("unreadable", name, "there is no such file: not used")
        return None
    return Sample(
        folder / image,
        label,
        _mask(folder, row.get("mask"), label, name, report),
        row.get("description"),
        row.get("source"),
        None if row.get("group") is None else str(row["group"]),
        name,
        more=cells,
        report=report,
    )


def _mask(folder: Path, cell: Any, label: str, name: str, report: Report) -> Path | None:
    if label != "tampered":
        if cell:
            report.add("unused_mask", name, f"it has a mask, but is {label}")
        return None
    if cell and (folder / str(cell)).is_file():
        return folder / str(cell)
    message = f"its mask {cell!r} is not there" if cell else "it has no mask"
    report.add("missing_mask", name, f"{message}; it is used for its class alone")
    return None
