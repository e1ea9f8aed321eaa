"""Samples that an interrupted export had written, so that the same command goes on after them."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO, TypedDict

from sida.data.writing.writers import ExportRow

__all__ = ["Journal", "JournalEntry"]


class JournalEntry(TypedDict):
    """A sample that is done: the row of its picture, None where it was left out, and problems."""

    row: ExportRow | None
    problems: Sequence[tuple[str, str]]


class Journal:
    """A line for each sample done, in the hidden folder that becomes the target.

    Lines are written once what they speak of is complete, so that those that are there, and whose
    files have the size that they state, can be relied on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lines = folder / "done.jsonl"

    def entries(self) -> list[JournalEntry]:
        """Entries of finished pictures: the lines up to the first that cannot be relied on."""
        complete: list[JournalEntry] = []
        sure = 0
        for entry in self._stored():
            files = entry["row"]["files"] if entry["row"] else {}
            if not all(self._has(name, size) for name, size in files.items()):
                break
            # Rows of a shard become sure all at once, when the row that names its file is reached.
            is_shard_end = sure == len(complete)  # nothing before it waits for the end of its shard
            complete.append(entry)
            if files or (entry["row"] is None and is_shard_end):
                sure = len(complete)
        return complete[:sure]

    def _stored(self) -> Iterator[JournalEntry]:
        with suppress(OSError, ValueError), self._lines.open(encoding="utf-8") as stream:
            for line in stream:  # the last one may be cut short
                yield json.loads(line)

    def _has(self, name: str, size: int) -> bool:
        with suppress(OSError):
            return os.path.getsize(self.folder / name) == size
        return False

    def begin(self, entries: Sequence[JournalEntry]) -> TextIO:
        """Open the list of what is done for further lines, which `note` writes."""
        stream = self._lines.open("w", encoding="utf-8")
        self.note(stream, entries)
        return stream

    @staticmethod
    def note(stream: TextIO, entries: Sequence[JournalEntry]) -> None:
        """Add lines."""
        for entry in entries:
            print(json.dumps(entry, ensure_ascii=False), file=stream)
        stream.flush()

    def finish(self, target: Path) -> None:
        """Force everything to the disk and put it in its place."""
        self._lines.unlink()
        for file in sorted(self.folder.rglob("*")):
            if file.is_file():
                with file.open("rb+") as stream:
                    os.fsync(stream.fileno())
        # Renaming is the last step: the export is there whole or not at all.
        if target.is_dir():  # an empty one
            target.rmdir()
        self.folder.rename(target)
