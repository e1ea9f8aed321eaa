"""`Dataset`: the samples of one split, whatever form they are published in."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import overload

from sida.data.problems import Report
from sida.data.sample import Sample
from sida.errors import DataError
from sida.verdict import LABELS

__all__ = ["Dataset", "choose_split"]


class Dataset(Sequence[Sample]):
    """The samples of a set, in a stable order, and the report of what is wrong with it.

    Attributes:
        name: as the user named the set.
        split: the split, or None where the set has none.
        layout: "folder", "parquet", "pixar", "manifest", or the name of another set's tree.
        report: problems found so far; it grows while the samples are read.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        report: Report,
        name: str,
        split: str | None = None,
        layout: str = "folder",
    ) -> None:
        self._samples = samples
        self.report, self.name, self.split, self.layout = report, name, split, layout

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "Dataset": ...
    def __getitem__(self, index: int | slice) -> "Sample | Dataset":
        if isinstance(index, slice):
            part = self._samples[index]
            return Dataset(part, self.report, self.name, self.split, self.layout)
        return self._samples[index]

    def counts(self) -> dict[str, int]:
        """How many samples each class has, in the order of the classes."""
        totals = Counter(sample.label for sample in self)
        return {label: totals[label] for label in LABELS}

    def __repr__(self) -> str:
        counts = ", ".join(f"{label}: {count}" for label, count in self.counts().items())
        return f"<{self.layout} {self.name!r}, {len(self)} samples ({counts})>"


def choose_split(name: str, splits: Sequence[str], split: str | None) -> str:
    """The split that is asked for, or the only one there is; DataError names them otherwise."""
    if split is None and len(splits) == 1:
        return splits[0]
    if split is None or split not in splits:
        problem = "one of them is needed" if split is None else f"there is no {split!r}"
        raise DataError(f"{name!r} holds the splits {', '.join(splits)}: {problem} (--split)")
    return split
