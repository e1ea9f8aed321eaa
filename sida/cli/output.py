"""Where `sida detect` puts its results: JSON lines, masks, overlays, and the rows of the table."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sida.cli.edge import say, sentence
from sida.cli.provenance import provenance_text
from sida.cli.table import Row, plain, render
from sida.errors import InputError, SidaError
from sida.files import Input, output_paths, write_whole
from sida.verdict import Failure, Verdict

__all__ = ["Emit", "Outputs", "json_lines", "places", "write_or_say"]

Emit = Callable[[Input, Verdict | Failure], bool]
"""Takes a result; says whether all that belongs to it could be drawn and written."""


class Outputs:
    """`json` is a file, or `-` for standard output; the others are folders."""

    def __init__(
        self,
        inputs: Sequence[Input],
        json: str | None = None,
        masks: Path | None = None,
        overlays: Path | None = None,
        evidence: Path | None = None,
    ) -> None:
        self.json = json
        self._masks = places(masks, "--masks", inputs, "_mask.png")
        self._overlays = places(overlays, "--overlays", inputs, "_overlay.png")
        self._evidence = places(evidence, "--evidence", inputs, "_evidence.png")
        self._rows: list[Row] = []
        self._origins: list[str] = []

    @contextlib.contextmanager
    def open(self) -> Iterator[Emit]:
        """Take results one by one; the JSON file is written when all went well, else not at all."""
        with json_lines(self.json) as write_line:

            def emit(given: Input, result: Verdict | Failure) -> bool:
                drawn = True
                if isinstance(result, Verdict):
                    result, drawn = self._draw(given, result)
                write_line(result.model_dump_json())
                if self.json != "-":
                    self._rows.append(Row.of(given.name, result))
                    if isinstance(result, Verdict) and result.provenance is not None:
                        said = provenance_text(result.provenance)
                        self._origins.append(f"\n{plain(given.name)}\n{said}")
                return drawn

            yield emit

    def table(self) -> str | None:
        """What a person is shown; None where standard output belongs to the JSON lines."""
        return None if self.json == "-" else render(self._rows) + "".join(self._origins)

    def _draw(self, given: Input, verdict: Verdict) -> tuple[Verdict, bool]:
        """Write mask, overlay and evidence, and note the files in the verdict.

        What cannot be drawn or written is said in a line, and costs nothing but itself.
        """
        drawn = True
        masked = verdict.mask is not None
        if masked and given in self._overlays:
            drawn = write_or_say(given, "overlay", verdict.save_overlay, self._overlays[given])
        if masked and given in self._masks:
            path = self._masks[given]
            if write_or_say(given, "mask", verdict.save_mask, path):
                verdict = verdict.with_mask_file(path.as_posix())
            else:
                drawn = False
        if verdict.evidence_map is not None and given in self._evidence:
            path = self._evidence[given]
            if write_or_say(given, "evidence", verdict.save_evidence, path):
                verdict = verdict.with_evidence_file(path.as_posix())
            else:
                drawn = False
        return verdict, drawn


def write_or_say(given: Input, what: str, write: Callable[[Path], None], place: Path) -> bool:
    """Let one file of a picture be written; whether it could be."""
    try:
        write(place)
    except (SidaError, OSError, MemoryError) as error:
        say(plain(f"{given.name}: no {what} was written: {sentence(error)}"))
        return False
    return True


def places(
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
        path = Path(target)
        if path.is_dir():
            raise InputError(f"--json {target!r} is a folder, expected a file: add a file name")
        with write_whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            yield lambda line: print(line, file=file)


@contextlib.contextmanager
def _standard_output() -> Iterator[Callable[[str], None]]:
    """Lines go out at once; whatever a library prints meanwhile goes to standard error."""
    output = sys.stdout.buffer

    def write_line(line: str) -> None:
        output.write(line.encode() + b"\n")
        output.flush()

    with contextlib.redirect_stdout(sys.stderr):
        yield write_line
