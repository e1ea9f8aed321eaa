"""NIST16's tree: `probe/`, and a reference table that says which mask is whose.

reference/manipulation/NC2016-manipulation-ref.csv, with `|` between cells:
ProbeFileName | ProbeMaskFileName | IsTarget (Y: tampered, N: not) | BaseFileName (its original)
Masks are black where the picture was altered.
"""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from sida.data.formats.masked import RemadeMask, black_is_altered, folder_below, pictures
from sida.data.formats.unique_names import UniqueNames
from sida.data.problems import Report
from sida.data.sample import Sample
from sida.errors import DataError

__all__ = ["Nist16"]

PROBE, MASK, TARGET = "ProbeFileName", "ProbeMaskFileName", "IsTarget"
_LABELS = {"Y": "tampered", "N": "real"}


class Nist16:
    """The layout of NIST's Nimble Challenge 2016."""

    name = "NIST16"
    tree = "probe/, reference/manipulation/NC2016-manipulation-ref.csv, masks where that says"

    def fits(self, root: Path) -> bool:
        """True if it has probes, and a table or masks for them."""
        if folder_below(root, "probe") is None:
            return False
        return bool(_tables(root)) or folder_below(root, "mask") is not None

    def splits(self, root: Path) -> list[str]:
        """None: it is published in one piece."""
        return []

    def samples(self, root: Path, split: str | None, names: object, report: Report) -> list[Sample]:
        """In the order of the table; probes that it does not have are reported.

        Raises DataError where the table is missing or another one: only it knows the labels.
        """
        unique, samples, listed_paths = UniqueNames(), [], set()
        for row in _rows(_table(root)):
            probe = _local(row[PROBE])
            listed_paths.add(Path(probe).name)
            sample = _sample(root, row, probe, unique(probe, report), report)
            samples += [] if sample is None else [sample]
        for item in pictures(folder_below(root, "probe")):
            if item.path.name not in listed_paths:
                reason = "the reference table says nothing of it: not used"
                report.add("unknown_label", f"probe/{item.relative}", reason)
        return samples


def _tables(root: Path) -> list[Path]:
    patterns = ("reference/manipulation/*ref*.csv", "reference/*ref*.csv", "*ref*.csv")
    return next((tables for pattern in patterns if (tables := sorted(root.glob(pattern)))), [])


def _table(root: Path) -> Path:
    tables = _tables(root)
    if len(tables) != 1:
        names = ", ".join(file.name for file in tables) or "none"
        raise DataError(
            f"{str(root)!r} looks like NIST16 with {names} as its reference, expected the one "
            f"table reference/manipulation/NC2016-manipulation-ref.csv"
        )
    return tables[0]


def _rows(table: Path) -> Iterator[Mapping[str, str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            head = stream.readline()
            separator = "|" if "|" in head else ","
            stream.seek(0)
            for row in csv.DictReader(stream, delimiter=separator):
                missing = [name for name in (PROBE, MASK, TARGET) if name not in row]
                if missing:
                    raise DataError(
                        f"{str(table)!r} lacks {', '.join(missing)}, expected NIST16's columns "
                        f"{PROBE}, {MASK}, {TARGET}"
                    )
                yield {key: (value or "").strip() for key, value in row.items() if key is not None}
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{str(table)!r} cannot be read as CSV: {error}") from error


def _local(path: str) -> str:
    return path.replace("\\", "/").lstrip("/")


def _sample(
    root: Path, row: Mapping[str, str], probe: str, name: str, report: Report
) -> Sample | None:
    label = _LABELS.get(row[TARGET].upper())
    if label is None:
        reason = f"its {TARGET} is {row[TARGET]!r}, expected Y or N: not used"
        report.add("unknown_label", name, reason)
        return None
    if not (picture := root / probe).is_file():
        report.add("unreadable", name, "there is no such file: not used")
        return None
    return Sample(
        picture,
        label,
        _mask(root, _local(row[MASK]), name, report) if label == "tampered" else None,
        group=Path(_local(row.get("BaseFileName", ""))).stem or None,
        name=name,
        report=report,
    )


def _mask(root: Path, path: str, name: str, report: Report) -> RemadeMask | None:
    """By its place in the table, or by its name in `mask/`."""
    for candidate in (root / path, root / "mask" / Path(path).name):
        if path and candidate.is_file():
            return RemadeMask(candidate, black_is_altered)
    message = f"its mask {path!r} is not there" if path else "the table names no mask for it"
    report.add("missing_mask", name, f"{message}; it is used for its class alone")
    return None
