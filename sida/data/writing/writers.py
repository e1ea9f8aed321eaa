"""Writers of exported sets: `ExportItem`, `SetWriter`, and those of folders and manifests.

A writer gets one `ExportItem` after the other and answers with the rows for what is complete
on the disk; the tables over all rows are written last. A row's `files` are those written for it.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NotRequired, Protocol, TypedDict

from sida.data.sample import CellValue
from sida.files import write_text
from sida.verdict import LABELS

__all__ = ["ColumnTypes", "ExportItem", "ExportRow", "FolderWriter", "ManifestWriter", "SetWriter"]

ColumnTypes = Mapping[str, type]
"""Further columns of the source, and what they hold: bool, int, float or str."""


class ExportRow(TypedDict):
    """A picture that is written, as its writer needs it for tables and to go on after a stop.

    `files` are the sizes of those that were finished with it, by their paths.
    """

    split: str | None
    label: str
    files: dict[str, int]
    img_id: NotRequired[str]
    image: NotRequired[str]
    mask: NotRequired[str | None]
    description: NotRequired[str | None]
    source: NotRequired[str | None]
    group: NotRequired[str | None]
    more: NotRequired[Mapping[str, CellValue]]


@dataclass(frozen=True)
class ExportItem:
    """A picture to be written: its file's bytes under a name with suffix, and what belongs to it.

    `mask` and `mask_suffix` are its mask's file; `size` is (height, width); `more` are the cells of
    further columns.
    """

    split: str | None
    label: str
    name: str
    data: bytes
    mask: bytes | None
    mask_suffix: str
    size: tuple[int, int]
    description: str | None = None
    source: str | None = None
    group: str | None = None
    more: Mapping[str, CellValue] = field(default_factory=dict)


class SetWriter(Protocol):
    """Protocol of the writers that `export` uses."""

    def add(self, item: ExportItem) -> list[ExportRow]:
        """Take one picture; gives the rows that are now complete on the disk."""

    def flush(self) -> list[ExportRow]:
        """Complete what is begun."""

    def discard(self) -> None:
        """Leave what is begun, and is not complete."""

    def recall(self, row: ExportRow) -> None:
        """Take the row of an earlier, interrupted run as written."""

    def finish(self, rows: Sequence[ExportRow]) -> None:
        """Write the tables over all rows."""


class FolderWriter:
    """`[SPLIT/]{real,full_synthetic,tampered}/…`, masks, descriptions, and a manifest a split."""

    columns: Sequence[str] = ("image", "label", "mask", "source", "group")

    def __init__(self, root: Path, extra_columns: ColumnTypes) -> None:
        self.root, self.extra_columns = root, extra_columns
        self._used_stems: set[str] = set()

    def add(self, item: ExportItem) -> list[ExportRow]:
        """Write the picture and its mask."""
        base = PurePosixPath(item.split or "")
        picture = self._free(self.folder(item) / item.name)
        files = {picture: item.data}
        mask = base / "masks" / f"{picture.stem}_mask{item.mask_suffix}"
        if item.mask is not None:
            files[mask] = item.mask
        for path, data in files.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_bytes(data)
        row: ExportRow = {
            "split": item.split,
            "image": str(self.listed_path(picture, base)),
            "label": item.label,
            "mask": None if item.mask is None else str(self.listed_path(mask, base)),
            "description": item.description,
            "source": item.source,
            "group": item.group,
            "more": item.more,
            "files": {str(path): len(data) for path, data in files.items()},
        }
        return [row]

    def flush(self) -> list[ExportRow]:
        """Nothing is ever begun and not complete."""
        return []

    def discard(self) -> None:
        """See `flush`."""

    def recall(self, row: ExportRow) -> None:
        """Its names are taken."""
        self._used_stems.update(_stem(PurePosixPath(path)) for path in row["files"])

    def folder(self, item: ExportItem) -> PurePosixPath:
        """Where a picture goes."""
        return PurePosixPath(item.split or "") / item.label

    def listed_path(self, path: PurePosixPath, base: PurePosixPath) -> PurePosixPath:
        """How the manifest names a file: relative to its own folder."""
        return path.relative_to(base)

    def _free(self, path: PurePosixPath) -> PurePosixPath:
        """The place, or one with a number: of two pictures with one stem, whose is the mask?"""
        number, original = 1, path
        while (stem := _stem(path)) in self._used_stems:
            number += 1
            path = original.with_name(f"{original.stem}~{number}{original.suffix}")
        self._used_stems.add(stem)
        return path

    def finish(self, rows: Sequence[ExportRow]) -> None:
        """Descriptions and manifests, split by split."""
        for split in dict.fromkeys(row["split"] for row in rows):
            split_rows = [row for row in rows if row["split"] == split]
            folder = self.root / (split or "")
            for label in LABELS:
                self._write_texts(folder, label, split_rows)
            _write_csv(folder / "manifest.csv", [*self.columns, *self.extra_columns], split_rows)

    def _write_texts(self, folder: Path, label: str, rows: Sequence[ExportRow]) -> None:
        texts = {
            PurePosixPath(row["image"]).name: row["description"]
            for row in rows
            if row["label"] == label and row["description"]
        }
        if texts:
            file = folder / "description" / f"{label}_GT.json"
            write_text(file, json.dumps(texts, ensure_ascii=False, indent=1) + "\n")


class ManifestWriter(FolderWriter):
    """`pictures/`, `masks/` and one `manifest.csv` that says everything."""

    columns = ("image", "label", "mask", "description", "source", "group", "split")

    def folder(self, item: ExportItem) -> PurePosixPath:
        return PurePosixPath(item.split or "") / "pictures" / item.label

    def listed_path(self, path: PurePosixPath, base: PurePosixPath) -> PurePosixPath:
        return path

    def finish(self, rows: Sequence[ExportRow]) -> None:
        """The one manifest; a column that is empty throughout is left out."""
        used = [name for name in self.columns if any(row.get(name) is not None for row in rows)]
        _write_csv(self.root / "manifest.csv", [*used, *self.extra_columns], rows)


def _stem(path: PurePosixPath) -> str:
    return str(path.with_suffix("")).casefold()


def _write_csv(file: Path, columns: Sequence[str], rows: Sequence[ExportRow]) -> None:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, **row["more"]} for row in rows)
    write_text(file, stream.getvalue())
