"""What an interrupted export had done, so that the same command goes on where it stopped."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

__all__ = ["Journal"]

Entry = dict[str, Any]


class Journal:
    """A hidden folder beside the target, and in it the job and a line for each sample done.

    Lines are written once what they speak of is complete, so that those that are there, and whose
    files have the size that they state, can be relied on.
    """

    def __init__(self, target: Path, job: Mapping[str, Any]) -> None:
        self.folder = target.with_name(f".{target.name}.part")
        self._job = self.folder / "job.json"
        self._lines = self.folder / "done.jsonl"
        if self._same(job):
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._job.write_text(json.dumps(job), encoding="utf-8")

    def _same(self, job: Mapping[str, Any]) -> bool:
        """Whether the folder was begun for exactly this."""
        try:
            return bool(json.loads(self._job.read_text(encoding="utf-8")) == job)
        except (OSError, ValueError):
            return False

    def entries(self) -> list[Entry]:
        """What is done: the lines up to the first that cannot be relied on."""
        done: list[Entry] = []
        sure = 0
        for entry in self._stored():
            files = (entry["row"] or {}).get("files", {})
            if not all(self._has(place, size) for place, size in files.items()):
                break
            whole = sure == len(done)  # nothing before it waits for the end of its shard
            done.append(entry)
            if files or (entry["row"] is None and whole):
                sure = len(done)
        return done[:sure]

    def _stored(self) -> Iterator[Entry]:
        with suppress(OSError, ValueError), self._lines.open(encoding="utf-8") as stream:
            for line in stream:  # the last one may be cut short
                yield json.loads(line)

    def _has(self, place: str, size: int) -> bool:
        with suppress(OSError):
            return os.path.getsize(self.folder / place) == size
        return False

    def begin(self, done: Sequence[Entry]) -> TextIO:
        """Open the list of what is done for further lines, which `note` writes."""
        stream = self._lines.open("w", encoding="utf-8")
        self.note(stream, done)
        return stream

    @staticmethod
    def note(stream: TextIO, entries: Sequence[Entry]) -> None:
        """Add lines."""
        for entry in entries:
            print(json.dumps(entry, ensure_ascii=False), file=stream)
        stream.flush()

    def discard(self) -> None:
        """Remove what was begun."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self, target: Path) -> None:
        """Force everything to the disk and put it in its place."""
        for file in (self._job, self._lines, *self.folder.rglob(".*.part*")):
            file.unlink()
        for file in sorted(self.folder.rglob("*")):
            if file.is_file():
                with file.open("rb+") as stream:
                    os.fsync(stream.fileno())
        if target.is_dir():  # an empty one
            target.rmdir()
        self.folder.rename(target)
