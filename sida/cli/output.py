"""Where `sida detect` puts its results: JSON lines, masks, overlays, and the rows of the table."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sida.cli.errors import notify, sentence
from sida.cli.provenance import provenance_text
from sida.cli.result_file import (
    ResultFile,
    RunSettings,
    holds_something_else,
    lacks_space,
    result_file,
)
from sida.cli.silence import error_stream
from sida.cli.table import Row, plain, render
from sida.errors import InputError, SidaError
from sida.files import Input, output_paths, write_whole
from sida.verdict import Failure, Verdict, parse_line

__all__ = ["Emit", "Outputs", "json_lines", "output_files", "write_or_notify"]

Emit = Callable[[Input, Verdict | Failure], bool]
"""Takes a result; returns True where everything that belongs to it was drawn and written."""


class Outputs:
    """`json` is a file, or `-` for standard output; the others are folders.

    `settings` are what the results depend on: a file that others began is refused, or started over
    where that is asked for (`fresh`).

    Attributes:
        file: the file of lines while it is open, where it is one that can be resumed.
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        json: str | None = None,
        masks: Path | None = None,
        overlays: Path | None = None,
        evidence: Path | None = None,
        settings: RunSettings | None = None,
        fresh: bool = False,
    ) -> None:
        self.json, self._fresh = json, fresh
        self.file: ResultFile | None = None
        self._settings = settings or {}
        self._masks = output_files(masks, "--masks", inputs, "_mask.png")
        self._overlays = output_files(overlays, "--overlays", inputs, "_overlay.png")
        self._evidence = output_files(evidence, "--evidence", inputs, "_evidence.png")
        self._rows: list[Row] = []
        self._origins: list[str] = []

    @contextlib.contextmanager
    def open(self) -> Iterator[Emit]:
        """Take results one by one."""
        with self._lines() as write_line:

            def emit(source: Input, result: Verdict | Failure) -> bool:
                complete = True
                if isinstance(result, Verdict):
                    result, complete = self._draw(source, result)
                write_line(result.model_dump_json())
                self._add(source.name, result)
                return complete

            yield emit

    def earlier(self) -> list[Verdict | Failure]:
        """Results of a run that was broken off, now rows of the table."""
        lines = [] if self.file is None else self.file.earlier
        results = [parse_line(line) for line in lines]
        for result in results:
            self._add(result.image or "", result)
        return results

    def use(self, digest: str) -> None:
        """Note the weights. Raises ConfigError where earlier results are of others."""
        if self.file is not None:
            self.file.use(digest)

    def remark(self) -> str:
        """Behind a sentence about an interrupt: what became of the file."""
        if self.json in (None, "-"):
            return ""
        if self.file is None or not self.file.count:
            return f"; {self.json} was not written"
        return f"; they are in {self.json}; run the same command to resume"

    @contextlib.contextmanager
    def _lines(self) -> Iterator[Callable[[str], None]]:
        if self.json in (None, "-") or holds_something_else(Path(str(self.json))):
            with json_lines(self.json) as write_line:
                yield write_line
            return
        with result_file(_file(str(self.json)), self._settings, self._fresh) as self.file:
            yield self.file.write

    def _add(self, name: str, result: Verdict | Failure) -> None:
        """A row of the table; where lines go to standard output there is none."""
        if self.json == "-":
            return
        self._rows.append(Row.of(name, result))
        if isinstance(result, Verdict) and result.provenance is not None:
            self._origins.append(f"\n{plain(name)}\n{provenance_text(result.provenance)}")

    def table(self) -> str | None:
        """The table for a person; None where standard output belongs to the JSON lines."""
        return None if self.json == "-" else render(self._rows) + "".join(self._origins)

    def _draw(self, source: Input, verdict: Verdict) -> tuple[Verdict, bool]:
        """Write mask, overlay and evidence, and note the files in the verdict.

        A file that cannot be drawn or written is reported in a line, and costs nothing but itself.
        A full disk ends a run that can be resumed: later pictures would lack theirs, too.
        """
        complete, stops = True, self.file is not None
        masked = verdict.mask is not None
        if masked and source in self._overlays:
            path = self._overlays[source]
            complete = write_or_notify(source, "overlay", verdict.save_overlay, path, stops)
        if masked and source in self._masks:
            path = self._masks[source]
            if write_or_notify(source, "mask", verdict.save_mask, path, stops):
                verdict = verdict.with_mask_file(path.as_posix())
            else:
                complete = False
        if verdict.evidence_map is not None and source in self._evidence:
            path = self._evidence[source]
            if write_or_notify(source, "evidence", verdict.save_evidence, path, stops):
                verdict = verdict.with_evidence_file(path.as_posix())
            else:
                complete = False
        return verdict, complete


def write_or_notify(
    source: Input, name: str, write: Callable[[Path], None], path: Path, stops: bool = False
) -> bool:
    """Write one file of a picture; returns True where that succeeded.

    Where a full disk `stops` the run, that is an error instead.
    """
    try:
        write(path)
    except (SidaError, OSError, MemoryError) as error:
        if stops and lacks_space(error):
            raise
        notify(plain(f"{source.name}: no {name} was written: {sentence(error)}"))
        return False
    return True


def output_files(
    folder: Path | None, option: str, inputs: Sequence[Input], suffix: str
) -> dict[Input, Path]:
    """Where the file of each input goes; the folder is made now, before the model is loaded."""
    if folder is None:
        return {}
    if folder.exists() and not folder.is_dir():
        raise InputError(
            f"{option} {str(folder)!r} is a file, expected a folder: give another name"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise InputError(
            f"{option} {str(folder)!r} cannot be written to: give a folder of your own"
        )
    return dict(zip(inputs, output_paths(folder, inputs, suffix), strict=True))


@contextlib.contextmanager
def json_lines(target: str | None) -> Iterator[Callable[[str], None]]:
    """A function that writes one line of JSON to the target."""
    if target is None:
        yield lambda line: None
    elif target == "-":
        with _standard_output() as write_line:
            yield write_line
    else:
        with write_whole(_file(target)) as temporary, temporary.open("w", encoding="utf-8") as file:
            yield lambda line: print(line, file=file)


def _file(target: str) -> Path:
    path = Path(target)
    if path.is_dir():
        raise InputError(f"--json {target!r} is a folder, expected a file: add a file name")
    return path


@contextlib.contextmanager
def _standard_output() -> Iterator[Callable[[str], None]]:
    """Lines go out at once; whatever a library prints meanwhile goes to standard error."""
    output = sys.stdout.buffer

    def write_line(line: str) -> None:
        output.write(line.encode() + b"\n")
        output.flush()

    with contextlib.redirect_stdout(error_stream()):
        yield write_line
