"""`pair_folders`: two folders of originals and edited pictures, compared and written as a set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from sida.data.writing.writers import ExportItem, ExportRow, FolderWriter
from sida.errors import InputError, PictureError
from sida.files import Input, write_folder
from sida.image.overlay import png_bytes
from sida.image.read import file_bytes, read_picture
from sida.pairs.comparison import Comparison, ComparisonRow, Relation, compare
from sida.pairs.matching import Match, match_folders

__all__ = ["PairResult", "PairedSet", "pair_folders"]


@dataclass(frozen=True)
class PairResult:
    """Result for one edited picture.

    Attributes:
        original: its original's name; None where none was found.
        comparison: what `Comparison.as_json` gives; None where the two could not be compared.
        problem: why they could not be.
    """

    edited: str
    original: str | None
    comparison: ComparisonRow | None = None
    problem: str | None = None

    def as_json(self) -> dict[str, object]:
        """Line of `sida data pair --json`."""
        names = {"original": self.original, "edited": self.edited}
        return {**names, **(self.comparison or {"error": self.problem})}


@dataclass(frozen=True)
class PairedSet:
    """All results, in the order of the edited pictures, and how many pictures the set has."""

    results: Sequence[PairResult]
    pictures: int

    @property
    def summary(self) -> str:
        """How many pairs have which relation: "2 local, 1 same, 1 not compared"."""
        return _summary(self.results)

    @property
    def problems(self) -> list[PairResult]:
        """Those that could not be compared."""
        return [result for result in self.results if result.problem is not None]


def pair_folders(
    originals: str | Path,
    edited: str | Path,
    out: str | Path,
    on_progress: Callable[[int, int | None], None] = lambda number, total: None,
) -> PairedSet:
    """Compare each edited picture with its original and write a labelled set.

    Pictures in which a region was altered are its tampered ones, with masks, and their originals
    its real ones, each in one group. Others are left out: of a picture that was re-rendered as a
    whole nobody but you can say what it is.

    Args:
        originals, edited: folders; see `match_folders`.
        out: a folder that is not there yet; written completely or not at all.
        on_progress: called with how many pairs are done, and of how many.

    Raises:
        InputError: a folder without pictures, or no pair in which a region was altered.
        SidaError: `out` is there already, or cannot be written.
    """
    matches = match_folders(originals, edited)
    with write_folder(out) as folder:
        writer = FolderWriter(folder, {})
        results: list[PairResult] = []
        rows: list[ExportRow] = []
        written: set[Input] = set()
        for number, match in enumerate(matches, 1):
            result, comparison = _compared(match)
            results.append(result)
            if (
                comparison is not None
                and match.original is not None
                and comparison.relation == "local"
            ):
                group = str(match.original.relative)
                # Several edits may share an original, which the set holds once.
                if match.original not in written:
                    written.add(match.original)
                    rows += writer.add(_item(match.original, "real", group))
                rows += writer.add(_item(match.edited, "tampered", group, comparison))
            on_progress(number, len(matches))
        if not rows:
            raise InputError(_why_empty(results))
        writer.finish(rows)
    return PairedSet(results, len(rows))


def _compared(match: Match) -> tuple[PairResult, Comparison | None]:
    name = match.edited.name
    if match.original is None:
        return PairResult(name, None, problem=_why_alone(match.edited)), None
    try:
        comparison = compare(match.original, match.edited)
    except PictureError as error:
        return PairResult(name, match.original.name, problem=str(error)), None
    return PairResult(name, match.original.name, comparison.as_json()), comparison


def _why_alone(edited: Input) -> str:
    """The reason why a picture has no original, which may be that it cannot be read."""
    try:
        read_picture(edited)
    except PictureError as error:
        return str(error)
    return f"{edited.name!r} has no original: no picture has its name or looks like it"


def _item(item: Input, label: str, group: str, comparison: Comparison | None = None) -> ExportItem:
    picture = read_picture(item)
    return ExportItem(
        split=None,
        label=label,
        name=item.relative.name,
        data=file_bytes(item.path, item.name),
        mask=None if comparison is None else png_bytes(comparison.mask),
        mask_suffix=".png",
        size=(picture.height, picture.width),
        group=group,
    )


def _summary(results: Sequence[PairResult]) -> str:
    outcomes = [
        result.comparison["relation"] if result.comparison else "not compared" for result in results
    ]
    order = [*get_args(Relation), "not compared"]
    counts = {outcome: outcomes.count(outcome) for outcome in order}
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)


def _why_empty(results: Sequence[PairResult]) -> str:
    problems = [result.problem for result in results if result.problem]
    first = f"; the first that could not be compared: {problems[0]}" if problems else ""
    return (
        f"no region was altered in any of {len(results)} pairs (found {_summary(results)}), "
        f"expected one at least: check the folders{first}"
    )
