"""`export`: a set in another layout, with splits drawn anew, or with its containers made alike."""

import glob
import hashlib
import os
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, TypedDict, cast

from sida.data.dataset import Dataset
from sida.data.formats.hub import Streamed
from sida.data.formats.pixar import TAU
from sida.data.opening import open, splits_of
from sida.data.problems import HARMLESS, PROBLEMS, DataProblem
from sida.data.reading import read
from sida.data.sample import Labelled, Sample, stored_bytes
from sida.data.writing.equalise import Rule, common_side
from sida.data.writing.journal import Journal, JournalEntry
from sida.data.writing.parquet_writer import ParquetWriter
from sida.data.writing.splitting import assign_splits
from sida.data.writing.writers import (
    ColumnTypes,
    ExportItem,
    ExportRow,
    FolderWriter,
    ManifestWriter,
    SetWriter,
)
from sida.errors import DataError, InputError, PictureError
from sida.formats import PICTURE_SUFFIXES, suffix_of
from sida.image.perturbation import encode
from sida.run_folder import LocalFolder, RunFolder, RunRecord, locked

__all__ = ["ExportLayout", "Exported", "export"]

ExportLayout = Literal["folder", "parquet", "manifest"]
WRITERS: Mapping[str, Callable[[Path, ColumnTypes], SetWriter]] = {
    "folder": FolderWriter,
    "parquet": ParquetWriter,
    "manifest": ManifestWriter,
}
RECORD = ".export.json"
"""In an unfinished export its identity; in a finished one also what was written."""
OPTIONS = {
    "source": "DATA",
    "to": "--to",
    "split": "--split",
    "labels": "--labels",
    "descriptions": "--descriptions",
    "tau": "--tau",
    "equalise": "--equalise",
    "split_by_group": "--split-by-group",
    "shares": "--shares",
    "seed": "--seed",
    "samples": "pictures, labels or splits of DATA",
    "columns": "columns of DATA",
}
REPAIRED = {"mask_size", "mask_turned", "mask_levels", "mask_cut"}


@dataclass(frozen=True)
class Exported:
    """Counts of an export: split -> class -> pictures; and what was left out or repaired."""

    out: Path
    counts: Mapping[str, Mapping[str, int]]
    problems: Sequence[DataProblem]

    @property
    def pictures(self) -> int:
        """How many were written."""
        return sum(n for row in self.counts.values() for n in row.values())

    @property
    def is_sound(self) -> bool:
        """True if nothing was wrong with any row of the source."""
        return {problem.code for problem in self.problems} <= HARMLESS


@dataclass(frozen=True)
class _ExportJob:
    """A sample and the split that it goes to."""

    sample: Sample
    split: str | None


def export(
    source: str | Path,
    out: str | Path,
    to: ExportLayout = "folder",
    *,
    split: str | None = None,
    labels: str | Sequence[str] | None = None,
    descriptions: str | Path | None = None,
    tau: float = TAU,
    equalise: bool = False,
    shares: Mapping[str, float] | None = None,
    seed: int = 0,
    fresh: bool = False,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Exported:
    """Write a set in another layout; the files' bytes are copied, not encoded anew.

    Every picture is read once, so that broken ones are left out; masks that do not fit their
    picture are written as they are read. Further columns of a manifest or parquet (not of a
    streamed set) go along, as they are. All of it appears under `out` at the end, or nothing; an
    interrupted export goes on where it stopped when it is called again in the same way, and a
    finished one is left as it is.

    Args:
        source, split, labels, descriptions, tau: as for `sida.data.open`; all splits if not given.
        out: a folder that is not there, or empty, or that of the same export.
        to: the layout.
        equalise: cut and encode every picture by one rule (see `sida.data.writing.equalise`).
        shares: splits to draw anew with their shares, such as `SHARES`, so that no original is in
            two of them, nor one whose parts were spliced into another (`donor_group`).
        seed: of both draws.
        fresh: remove what an earlier export left in `out`, and start over.
        progress: called with the number of samples done, and of all.

    Raises:
        InputError: `out` holds other things.
        ConfigError: `out` is another export's.
        DataError: the source is no labelled set, or is streamed where all of it is needed at once.
    """
    # Absolute now: what is written must not move where the program changes its folder.
    target = Path(os.path.abspath(out))
    finished = RunFolder(LocalFolder(target, out), RECORD, "source", _made_paths, _option)
    finished.check({})  # other things in it are refused before the source is read
    names: list[str | None] = [split] if split is not None else [*splits_of(source)]
    sets = [
        open(source, name, labels=labels, descriptions=descriptions, tau=tau, further=True)
        for name in names or [None]
    ]
    jobs, total = _jobs(sets, shares, seed, needs_all=equalise or shares is not None)
    rule = Rule(_common_side(sets), seed) if equalise else None
    extra_columns = _extra_columns(jobs)
    identity = {
        "source": _digest_of(os.path.realpath(source)),
        "to": to,
        "split": split,
        "labels": labels,
        "descriptions": descriptions and _digest_of(os.path.realpath(descriptions)),
        "tau": tau,
        "equalise": equalise,
        "split_by_group": shares is not None,
        "shares": shares and dict(shares),
        # A seed that decides nothing must not make another export of it.
        "seed": seed if equalise or shares is not None else None,
        "samples": _digest(jobs),
        "columns": list(extra_columns),
    }
    part = target.with_name(f".{target.name}.part")
    unfinished = RunFolder(LocalFolder(part, out), RECORD, "source", lambda _: ["[!.]*"], _option)
    with locked(part, out):
        if (record := finished.claim(identity, fresh=fresh)) is not None:
            summary = cast(_Summary, record)
            problems = [DataProblem(**problem) for problem in summary["problems"]]
            return Exported(target, summary["counts"], problems)
        _require_empty(target, out)
        if unfinished.claim(identity, fresh=fresh) is None:
            unfinished.begin(identity)
        journal = Journal(part)
        writer = WRITERS[to](part, extra_columns)
        rows = _write(writer, journal, jobs, rule, lambda n: progress(n, total))
        if not rows:
            shutil.rmtree(part)
            raise DataError(f"nothing of {str(source)!r} can be exported: {_problem_counts(sets)}")
        exported = Exported(
            target, _counts(rows), [problem for data in sets for problem in data.report]
        )
        unfinished.begin({**identity, **_summary(exported, part)})
    journal.finish(target)
    return exported


def _require_empty(target: Path, out: str | Path) -> None:
    """Refuse a folder that holds more than the export that was removed from it."""
    if not target.is_dir():
        return
    (target / RECORD).unlink(missing_ok=True)
    if names := sorted(path.name for path in target.iterdir()):
        raise InputError(
            f"{str(out)!r} also holds {names[0]!r}, which no export made: move it elsewhere, or "
            "choose another --out."
        )


class _Summary(TypedDict):
    """Results that the record of a finished export adds to its identity."""

    counts: Mapping[str, Mapping[str, int]]
    problems: list[dict[str, str]]
    files: list[str]


def _summary(exported: Exported, folder: Path) -> _Summary:
    files = (path for path in folder.rglob("[!.]*") if path.is_file())
    return {
        "counts": exported.counts,
        "problems": [asdict(problem) for problem in exported.problems],
        "files": sorted(path.relative_to(folder).as_posix() for path in files),
    }


def _made_paths(record: RunRecord) -> list[str]:
    return [glob.escape(name) for name in cast(_Summary, record)["files"]]


def _option(key: str) -> str:
    return OPTIONS[key.partition(".")[0]]


def _digest_of(text: str) -> str:
    """A path by its digest: a set is handed on, and nobody else's paths with it."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _problem_counts(sets: Sequence[Dataset]) -> str:
    codes = Counter(problem.code for data in sets for problem in data.report)
    return "; ".join(f"{count} x {PROBLEMS[code]}" for code, count in codes.most_common())


def _jobs(
    sets: Sequence[Dataset],
    shares: Mapping[str, float] | None,
    seed: int,
    needs_all: bool,
) -> tuple[Sequence[_ExportJob] | Iterator[_ExportJob], int | None]:
    """Jobs split by split, and their number."""
    if any(isinstance(data, Streamed) for data in sets):
        if needs_all:
            raise DataError(
                f"{sets[0].name!r} is streamed, and for this all of it is needed at once: "
                "download it first (sida data download)"
            )
        return (_ExportJob(sample, data.split) for data in sets for sample in data), None
    if shares is None:
        jobs = [_ExportJob(sample, data.split) for data in sets for sample in data]
        return jobs, len(jobs)
    samples = [sample for data in sets for sample in data]
    split_names = assign_splits(samples, shares, seed)
    jobs = [
        _ExportJob(sample, name)
        for name in shares
        for sample, split_name in zip(samples, split_names, strict=True)
        if split_name == name
    ]
    return jobs, len(jobs)


def _digest(jobs: Sequence[_ExportJob] | Iterator[_ExportJob]) -> str | None:
    """Digest of the samples and their splits, to see whether they are the same again."""
    if not isinstance(jobs, Sequence):
        return None
    digest = hashlib.sha256()
    for job in jobs:
        digest.update(f"{job.split}\0{job.sample.name}\0{job.sample.label}\n".encode())
    return digest.hexdigest()


def _extra_columns(jobs: Sequence[_ExportJob] | Iterator[_ExportJob]) -> dict[str, type]:
    """The further columns of all samples, and the kind of value that fits all their cells."""
    types: dict[str, set[type]] = {}
    for job in jobs if isinstance(jobs, Sequence) else ():
        for name, value in job.sample.more.items():
            # Integers of more than 64 bits have no type in parquet.
            is_long = isinstance(value, int) and not -(2**63) <= value < 2**63
            types.setdefault(name, set()).add(str if is_long else type(value))
    return {name: _common_type(value_types) for name, value_types in types.items()}


def _common_type(types: set[type]) -> type:
    """The type that holds the values of all of `types`: text, where nothing else does."""
    if len(types) == 1:
        return next(iter(types))
    return float if types == {int, float} else str


def _common_side(sets: Sequence[Dataset]) -> int:
    sizes = []
    for data in sets:
        for sample in data:
            try:
                sizes.append((sample.label, min(sample.size())))
            except PictureError:  # in the report now, and left out when it is read
                continue
    return common_side(sizes)


def _write(
    writer: SetWriter,
    journal: Journal,
    jobs: Sequence[_ExportJob] | Iterator[_ExportJob],
    rule: Rule | None,
    progress: Callable[[int], None],
) -> list[ExportRow]:
    """Write what an earlier run has not written; gives the rows of both."""
    entries = journal.entries()
    waiting: deque[_PendingEntry] = deque()
    rows = [entry["row"] for entry in entries if entry["row"] is not None]
    for row in rows:
        writer.recall(row)
    remaining = islice(jobs, len(entries), None)
    _recall_problems(jobs, entries)
    with closing(journal.begin(entries)) as stream:
        try:
            for number, (job, labelled) in enumerate(_read(remaining), len(entries) + 1):
                item = None if labelled is None else _item(labelled, job.split, rule)
                complete = [] if item is None else writer.add(item)
                waiting.append(_pending(job.sample, item is not None))
                rows += complete
                # Noted after the files are complete: what a killed run left half done is not in it.
                journal.note(stream, _completed(waiting, complete))
                progress(number)
            complete = writer.flush()
            rows += complete
            journal.note(stream, _completed(waiting, complete))
        # Ctrl-C, too: an open shard must not look like a finished one.
        except BaseException:
            writer.discard()
            raise
    writer.finish(rows)
    return rows


def _recall_problems(
    jobs: Sequence[_ExportJob] | Iterator[_ExportJob], entries: Sequence[JournalEntry]
) -> None:
    """Put what an earlier run found wrong into the reports of this one."""
    if isinstance(jobs, Sequence):
        for job, entry in zip(jobs, entries, strict=False):
            for code, message in entry["problems"]:
                job.sample.report.add(code, job.sample.name, message)


class _PendingEntry(NamedTuple):
    """A `JournalEntry` whose row is not complete on the disk yet."""

    has_row: bool
    problems: Sequence[tuple[str, str]]


def _pending(sample: Sample, has_row: bool) -> _PendingEntry:
    problems = [(problem.code, problem.message) for problem in sample.report.of(sample.name)]
    return _PendingEntry(has_row, problems)


def _completed(waiting: deque[_PendingEntry], rows: Sequence[ExportRow]) -> list[JournalEntry]:
    """The entries whose samples are complete now: those of the rows, and what was left out."""
    entries: list[JournalEntry] = []
    coming = deque(rows)
    while waiting and (coming or not waiting[0].has_row):
        has_row, problems = waiting.popleft()
        entries.append({"row": coming.popleft() if has_row else None, "problems": problems})
    return entries


def _read(jobs: Iterator[_ExportJob]) -> Iterator[tuple[_ExportJob, Labelled | None]]:
    """Every job in order with its picture; None for one that cannot be read."""
    pending: deque[_ExportJob] = deque()

    def samples() -> Iterator[Sample]:
        for job in jobs:
            pending.append(job)
            yield job.sample

    for labelled in read(samples()):
        # `read` leaves broken pictures out; by identity they are found between those that came.
        while (job := pending.popleft()).sample is not labelled.sample:
            yield job, None
        yield job, labelled
    for job in pending:
        yield job, None


def _item(labelled: Labelled, split: str | None, rule: Rule | None) -> ExportItem | None:
    """Item to write for a picture; None where the rule has no use for it."""
    if rule is None:
        return _copied(labelled, split)
    sample = labelled.sample
    if (refused := rule.refuses(labelled)) is not None:
        code = "too_small" if "smaller" in refused else "not_placed"
        sample.report.add(code, sample.name, refused)
        return None
    picture = rule.draw(labelled)
    return replace(
        _described(labelled, split),
        name=PurePosixPath(_file_name(labelled)).with_suffix(picture.suffix).name,
        data=picture.data,
        mask=None if picture.mask is None else encode(picture.mask, "PNG"),
        size=picture.size,
    )


def _copied(labelled: Labelled, split: str | None) -> ExportItem:
    """The files as they are; a mask that had to be changed to be used, as it was used."""
    sample = labelled.sample
    changed = {problem.code for problem in sample.report.of(sample.name)} & REPAIRED
    in_memory = labelled.in_memory
    item = replace(_described(labelled, split), data=stored_bytes(in_memory.picture))
    if labelled.mask is None or in_memory.mask is None:
        return item
    if changed or sample.tau is not None:
        return replace(item, mask=encode(labelled.mask, "PNG"))
    suffix = sample.mask.suffix if isinstance(sample.mask, Path) else ".png"
    return replace(item, mask=stored_bytes(in_memory.mask), mask_suffix=suffix)


def _described(labelled: Labelled, split: str | None) -> ExportItem:
    sample, picture = labelled.sample, labelled.picture
    return ExportItem(
        split,
        sample.label,
        _file_name(labelled),
        b"",
        None,
        ".png",
        (picture.height, picture.width),
        sample.description,
        sample.source,
        sample.group,
        sample.more,
    )


def _file_name(labelled: Labelled) -> str:
    """Its own name; one without a picture's suffix gets that of its format."""
    name = PurePosixPath(labelled.sample.name).name
    if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES:
        return name
    format = labelled.picture.format or "png"
    return name + suffix_of(format)


def _counts(rows: Sequence[ExportRow]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for (split, label), n in Counter((r["split"] or "all", r["label"]) for r in rows).items():
        counts.setdefault(split, {})[label] = n
    return counts
