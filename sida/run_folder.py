"""`RunFolder`: the folder of a run that can be stopped, and goes on when its command is repeated.

One rule for training, evaluation, the forge, exports and runs on Ray: the same command goes on
where it stopped, the folder of another run is refused, and `fresh` begins anew after removing what
the earlier run made. What makes two runs the same is their identity: the options that their results
depend on, kept as JSON in a record inside the folder.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from sida.errors import ConfigError, InputError
from sida.files import remove_temporaries, write_bytes

__all__ = [
    "LocalFolder",
    "RunFiles",
    "RunFolder",
    "RunRecord",
    "busy_error",
    "difference",
    "locked",
]

log = logging.getLogger(__name__)

RunRecord = dict[str, object]
"""The identity of a run, and what else its verb keeps with it."""

DIFFERENCES, VALUE_LENGTH = 3, 60
"""Differences that a sentence names, and characters of each value."""
LOCK = ".lock"
REMOVING = "removing"
"""A key that a record has while `fresh` removes what its run made."""


class RunFiles(Protocol):
    """The files of a run by their names below one folder: on this disk, or in a bucket."""

    @property
    def out(self) -> str:
        """The folder as the user named it."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None without one."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file completely or not at all."""

    def names(self, folder: str) -> Set[str]:
        """Names of files and folders in a folder; none where it does not exist."""

    def remove_matching(self, patterns: Iterable[str]) -> None:
        """Remove the files and folders that match, then folders that are left empty."""

    def remove_temporaries(self) -> None:
        """Remove half-written files of a run that was killed."""


class LocalFolder:
    """`RunFiles` of a folder on this machine; `name` is what messages call it."""

    def __init__(self, path: str | Path, name: str | Path | None = None) -> None:
        self.path = Path(path)
        self.out = str(path if name is None else name)

    def read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        write_bytes(self.path / name, data)

    def names(self, folder: str) -> Set[str]:
        path = self.path / folder
        return {entry.name for entry in path.iterdir()} if path.is_dir() else set()

    def remove_matching(self, patterns: Iterable[str]) -> None:
        for path in [path for pattern in patterns for path in self.path.glob(pattern)]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            self._remove_empty(path.parent)

    def _remove_empty(self, folder: Path) -> None:
        with suppress(OSError):  # the first that holds something ends it
            while folder != self.path:
                folder.rmdir()
                folder = folder.parent

    def remove_temporaries(self) -> None:
        remove_temporaries(self.path)


class RunFolder:
    """A folder that one run at a time may claim.

    Args:
        files: the folder.
        record: the name of the file that holds the identity.
        marker: a key that every record of this verb has; one without it is another program's file.
        outputs: gives the patterns of all files that the run of a record may have made.
        option: the name by which the user typed a key of the identity.
        defaults: values of keys that records of earlier versions lack; None where not given.
        before: names that may lie in the folder before there is a record.
    """

    def __init__(
        self,
        files: RunFiles,
        record: str,
        marker: str,
        outputs: Callable[[RunRecord], Iterable[str]],
        option: Callable[[str], str] = lambda key: key,
        defaults: Mapping[str, object] | None = None,
        before: Iterable[str] = (),
    ) -> None:
        self.files, self.record, self.marker, self.outputs = files, record, marker, outputs
        self.option, self.defaults = option, defaults or {}
        self.before = {LOCK, *before}

    def check(
        self, identity: Mapping[str, object], stored: RunRecord | None = None
    ) -> RunRecord | None:
        """The record of the run that goes on; None where a run may begin. Nothing is written.

        Args:
            identity: of the run that is to begin or go on, values as JSON has them.
            stored: the record, where it is kept elsewhere than in its file.

        Raises:
            ConfigError: the folder is another run's; the text names the options that differ.
            InputError: the folder is a file, or holds things that no run made.
        """
        stored = stored or self._read()
        if stored is None:
            self._require_free()
        if stored is None or REMOVING in stored:
            return None
        changes = difference(identity, stored, self.option, self.defaults)
        if changes:
            raise ConfigError(
                f"{self.files.out!r} holds another run: {changes}. Use that run's options to "
                "resume it, choose another --out, or replace it with --fresh."
            )
        return stored

    def claim(
        self,
        identity: Mapping[str, object],
        *,
        fresh: bool = False,
        stored: RunRecord | None = None,
    ) -> RunRecord | None:
        """As `check`, then sweep what a killed run left half-written.

        With `fresh`, remove what the earlier run made, whatever its identity; files that no run
        made stay.
        """
        record = self._read()
        stored = stored or record
        removing = record is not None and REMOVING in record
        if stored is not None and (fresh or removing):
            # Killed in the midst of this, the folder must not look like a finished run; the mark
            # stays until `begin` writes the new run's record over it.
            self.begin({**stored, REMOVING: True})
            self.files.remove_matching([*self.outputs(stored)])
            stored = None
        else:
            stored = self.check(identity, stored)
            if stored is not None:
                log.info("Resuming the run in %r; finished work is kept.", self.files.out)
        self.files.remove_temporaries()
        return stored

    def begin(self, record: Mapping[str, object]) -> None:
        """Write the record, which makes the folder this run's."""
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        self.files.write(self.record, text.encode())

    def _read(self) -> RunRecord | None:
        content = self.files.read(self.record)
        if content is None:
            return None
        try:
            stored = dict(json.loads(content))
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{self.files.out}/{self.record} cannot be read ({error}): choose another --out."
            ) from error
        if self.marker not in stored:
            raise ConfigError(
                f"{self.files.out!r} holds a {self.record} of something else: choose another --out."
            )
        return stored

    def _require_free(self) -> None:
        out = self.files.out
        if isinstance(self.files, LocalFolder) and self.files.path.is_file():
            raise InputError(f"{out!r} is a file, expected a folder: choose another --out.")
        if unknown := sorted(self.files.names("") - self.before):
            raise InputError(
                f"{out!r} is not empty and holds no run of this command (found {unknown[0]!r}): "
                "choose a new or empty folder for --out."
            )


def difference(
    identity: Mapping[str, object],
    stored: Mapping[str, object],
    option: Callable[[str], str] = lambda key: key,
    defaults: Mapping[str, object] | None = None,
) -> str:
    """Differences of two identities as a part of a sentence; empty where there are none.

    `--masks all (was tampered), seed=2 (was 1)`: each option as it is typed, with both values.
    """
    now = json.loads(json.dumps(identity))  # tuples are lists in a record
    changes = _changes(now, {**(defaults or {}), **stored})
    texts = dict.fromkeys(_change(option(key), *values) for key, *values in changes)
    omitted = f" and {len(texts) - DIFFERENCES} more" if len(texts) > DIFFERENCES else ""
    return ", ".join(list(texts)[:DIFFERENCES]) + omitted


def _changes(
    now: Mapping[str, object], before: Mapping[str, object], above: str = ""
) -> Iterator[tuple[str, object, object]]:
    """Keys with both values; nested keys are joined by dots, as they are typed."""
    for key, value in now.items():
        earlier = before.get(key)
        if isinstance(value, Mapping) and isinstance(earlier, Mapping):
            lacking = dict.fromkeys(earlier.keys() - value.keys())
            yield from _changes({**value, **lacking}, earlier, f"{above}{key}.")
        elif value != earlier:
            yield above + key, value, earlier


def _change(option: str, value: object, before: object) -> str:
    if _is_digest(value) or _is_digest(before):
        return f"{option} (changed)"
    join = " " if option.startswith("--") or option.isupper() or " " in option else "="
    return f"{option}{join}{_value_text(value)} (was {_value_text(before)})"


def _is_digest(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_is_digest, value))
    return isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef")


def _value_text(value: object) -> str:
    """A value in words rather than in Python's, and not longer than a line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "left out"
    if isinstance(value, Mapping):
        value = [f"{key}={part}" for key, part in value.items()]
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= VALUE_LENGTH else f"{text[:VALUE_LENGTH]}…"


def busy_error(out: str) -> ConfigError:
    """The error for a folder that another process is writing to."""
    return ConfigError(
        f"another run is writing to {out!r}: wait until it ends, or choose another --out."
    )


@contextmanager
def locked(folder: str | Path, name: str | Path | None = None) -> Iterator[None]:
    """Hold a folder for one process; the system lets go when the process ends, however it ends.

    A folder that did not exist and stays empty is removed again. Disks and systems without locks
    are trusted.

    Raises:
        ConfigError: another process holds it.
        InputError: it cannot be made or written to.
    """
    path, out = Path(folder), str(folder if name is None else name)
    is_new = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path / LOCK, os.O_CREAT | os.O_RDWR, 0o666)
    except FileExistsError as error:
        raise InputError(f"{out!r} is a file, expected a folder: choose another --out.") from error
    except OSError as error:
        raise InputError(f"{out!r} cannot be written to: {error.strerror}") from error
    try:
        if not _lock(descriptor):
            raise busy_error(out)
    except BaseException:
        os.close(descriptor)
        raise
    _descriptors.add(descriptor)
    try:
        yield
    finally:
        with suppress(OSError):  # a run that was refused leaves nothing behind
            (path / LOCK).unlink()
            if is_new:
                path.rmdir()
        _descriptors.discard(descriptor)
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network disks
        return True
    return True


_descriptors: set[int] = set()


def _close_inherited() -> None:
    """A forked child would hold the lock beyond the death of its parent."""
    while _descriptors:
        os.close(_descriptors.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)
