"""A file of JSON lines that grows with its run, and that the same command resumes.

Until the run has ended, a note lies beside it (`v.jsonl.unfinished`) and says what the lines were
made with. So an interrupt, a full disk or a kill costs what was being judged and no more.
"""

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from sida.errors import ConfigError, SidaError
from sida.files import write_text
from sida.run_folder import difference

__all__ = ["ResultFile", "RunSettings", "holds_something_else", "lacks_space", "result_file"]

RunSettings = Mapping[str, object]
"""Options that results depend on, by their names."""

SCHEMAS = ("sida.verdict/1", "sida.failure/1")
UNFINISHED = "sida.unfinished/1"
WEIGHTS = "digest of the weights"
SUFFIX = ".unfinished"
MAX_LINE = 64 << 20  # bytes
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ResultFile:
    """Lines that are written one by one, each whole or not at all.

    Attributes:
        earlier: lines of the run that was broken off.
        count: lines that are in the file.
    """

    def __init__(self, path: Path, settings: RunSettings, fresh: bool = False) -> None:
        self._path, self._target = path, Path(os.path.realpath(path))
        self._note = self._target.with_name(f"{self._target.name}{SUFFIX}")
        self._settings = dict(settings)
        self._is_new = not self._target.exists()
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self._target.open("ab", buffering=0)
        try:
            _lock(self._stream.fileno(), path)
            self._read(fresh)
        except BaseException:
            self._stream.close()
            raise

    def _read(self, fresh: bool) -> None:
        """Take up what a run that was broken off has left."""
        earlier_settings = None if self._is_new or fresh else self._earlier_settings()
        self._has_note = earlier_settings is not None
        self.earlier = [] if earlier_settings is None else self._whole_lines()
        self.count = len(self.earlier)
        self._size = sum(map(len, self.earlier))
        if earlier_settings is not None:
            self._settings[WEIGHTS] = earlier_settings.get(WEIGHTS)
            self._stream.truncate(self._size)  # a line that a kill has torn

    def use(self, digest: str) -> None:
        """Note the weights. Raises ConfigError where the lines that are there are of others."""
        if self._has_note:
            self._require_same({WEIGHTS: digest}, self._settings)
        self._settings[WEIGHTS] = digest

    def write(self, line: str) -> None:
        """Add a line. Raises SidaError where the disk refuses; what was there stays whole."""
        data = line.encode() + b"\n"
        try:
            if not self._has_note:
                self._stream.truncate(0)
                note = {"schema": UNFINISHED, "settings": self._settings}
                write_text(self._note, json.dumps(note, indent=1) + "\n")
                self._has_note = True
            left = memoryview(data)
            while left:  # a disk that fills up takes a part
                left = left[self._stream.write(left) :]
        except (OSError, KeyboardInterrupt) as error:
            with contextlib.suppress(OSError):
                self._stream.truncate(self._size)
            if isinstance(error, OSError):
                raise _unwritable(self._path, error) from error
            raise
        self._size += len(data)
        self.count += 1

    def finish(self) -> None:
        """Force all to the disk; the file is whole."""
        if not self._has_note:
            self._stream.truncate(0)
        os.fsync(self._stream.fileno())
        self._note.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the file as it is; one without a line is removed where there was none before."""
        self._stream.close()
        if self._is_new and not self.count:
            self._target.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)

    def _earlier_settings(self) -> dict[str, object] | None:
        """RunSettings of the run that was broken off; None where the file is of none.

        Raises ConfigError where they are others.
        """
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            earlier_settings = dict(note["settings"]) if note["schema"] == UNFINISHED else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            earlier_settings = None
        if earlier_settings is None:
            raise ConfigError(
                f"{str(self._note)!r} is damaged, so {str(self._path)!r} cannot be continued: "
                "remove both, or give another FILE"
            )
        self._require_same(self._settings, earlier_settings)
        return earlier_settings

    def _require_same(self, settings: RunSettings, earlier_settings: RunSettings) -> None:
        if changes := difference(settings, earlier_settings):
            raise ConfigError(
                f"{str(self._path)!r} holds an unfinished run with other options: {changes}. Use "
                "that run's options to resume it, choose another FILE, or replace it with --fresh."
            )

    def _whole_lines(self) -> list[bytes]:
        """Lines up to the last that is whole. Raises ConfigError where an earlier one is not."""
        *complete, _ = self._target.read_bytes().split(b"\n")
        lines = [line + b"\n" for line in complete]
        for number, line in enumerate(lines, 1):
            if not _is_result(line):
                raise ConfigError(
                    f"line {number} of {str(self._path)!r} is not a result, so the run cannot be "
                    "resumed: remove the file to start over, or give another FILE"
                )
        return lines


@contextlib.contextmanager
def result_file(path: Path, settings: RunSettings, fresh: bool = False) -> Iterator[ResultFile]:
    """The file for a run's lines, which keeps what it holds where the block breaks off.

    With `fresh`, lines of an unfinished run are replaced.

    Raises SidaError where it cannot be written, ConfigError where other settings began it.
    """
    try:
        lines = ResultFile(path, settings, fresh)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield lines
        try:
            lines.finish()
        except OSError as error:
            raise _unwritable(path, error) from error
    finally:
        lines.close()


def holds_something_else(path: Path) -> bool:
    """True of a file without results, such as a picture that was named by mistake, and of pipes."""
    if not path.is_file():
        return path.exists()
    if path.with_name(f"{path.name}{SUFFIX}").exists():
        return False
    with path.open("rb") as stream:
        first = stream.readline(MAX_LINE)
    return bool(first) and not _is_result(first)


def lacks_space(error: BaseException | None) -> bool:
    """True where a disk was full, also where another error tells of it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            return True
        error = error.__cause__
    return False


def _is_result(line: bytes) -> bool:
    try:
        return bool(json.loads(line)["schema"] in SCHEMAS)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _unwritable(path: Path, error: OSError) -> SidaError:
    return SidaError(f"{str(path)!r} cannot be written: {error.strerror or error}")


def _lock(file: int, path: Path) -> None:
    """Two runs would mix their lines. The lock goes with its process; some disks have none."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(
            f"{str(path)!r} is being written by another run: wait for it, or give another FILE"
        ) from error
    except OSError:
        return
