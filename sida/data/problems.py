"""Problems of a labelled set: a line and a count for everything, no surprises."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["HARMLESS", "PROBLEMS", "DataProblem", "Report"]

PROBLEMS: Mapping[str, str] = {
    "unreadable": "picture that cannot be read; not used",
    "converted": "picture of an unusual kind; read as upright 8-bit RGB",
    "unknown_label": "label that is none of the classes; not used",
    "label_conflict": "manifest and folder name different classes; not used",
    "repeated_name": "two rows with one name; the later one got a number",
    "missing_mask": "tampered picture without a mask; used for its class alone",
    "unreadable_mask": "mask that cannot be read; its picture is used for its class alone",
    "mask_size": "mask of another size than its picture; resized, nearest",
    "mask_turned": "mask of a picture before its EXIF rotation; turned with it",
    "mask_levels": "mask of other values than 0 and 255; the higher one, or the index, is altered",
    "mask_cut": "mask of more than two levels; the upper half of its range counts as altered",
    "empty_mask": "tampered picture whose mask marks nothing",
    "unused_mask": "mask of a picture that is not tampered; not used",
    "orphan_mask": "mask that belongs to no picture; not used",
    "orphan_description": "description that belongs to no picture; not used",
    "unreadable_description": "file of descriptions that cannot be read; not used",
    "too_small": "picture smaller than the window common to all; left out",
    "not_placed": "tampered picture without a mask to place a window by; left out",
    "orphan_row": "row of the manifest that belongs to no picture; not used",
}
"""Every kind of problem, and what is done about it."""

HARMLESS = frozenset({"converted"})
"""Kinds that are only said, because nothing is wrong with the row."""


@dataclass(frozen=True)
class DataProblem:
    """A problem of one row: its code (a key of `PROBLEMS`), the row, and a sentence."""

    code: str
    name: str
    message: str

    @property
    def line(self) -> str:
        """Row and sentence in one line, the row once."""
        starts_with_name = self.message.startswith(repr(self.name))
        return self.message if starts_with_name else f"{self.name}: {self.message}"


class Report:
    """Problems in the order in which they were found, each kind once for a row.

    Some are found when a set is opened, others only when its files are read: a report grows while
    its set is used. Several threads may add to it.
    """

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, DataProblem]] = {}
        self._order: list[DataProblem] = []

    def add(self, code: str, name: str, message: str) -> None:
        """Note a problem with the row called `name`."""
        if code not in PROBLEMS:
            raise KeyError(f"{code!r} is not a kind of problem; see sida.data.problems.PROBLEMS")
        problem = DataProblem(code, name, message)
        if self._rows.setdefault(name, {}).setdefault(code, problem) is problem:
            self._order.append(problem)

    def __iter__(self) -> Iterator[DataProblem]:
        return iter(list(self._order))

    def __len__(self) -> int:
        return len(self._order)

    def of(self, name: str) -> list[DataProblem]:
        """Problems of one row."""
        return list(self._rows.get(name, {}).values())

    def counts(self) -> dict[str, int]:
        """How many rows each kind was found in, most frequent first."""
        return dict(Counter(problem.code for problem in self).most_common())

    def lines(self) -> list[str]:
        """Lines for people, one a problem."""
        return [problem.line for problem in self]
