"""Results to report on: verdicts or failures with their pictures, also from earlier runs."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sida.errors import InputError, PictureError, optional_package
from sida.image.read import Picture, read_picture
from sida.verdict import Failure, Verdict, parse_line

__all__ = ["ReportItem", "holds_results", "picture_of", "read_results"]

LINE = 4 << 20  # bytes of a line that is read
BATCH = 64  # rows that are in memory at once
RUN = "run.json"  # of a Ray run


class ReportItem(NamedTuple):
    """A picture's result and its file; `source` is None where that is not known."""

    result: Verdict | Failure
    source: Path | None = None


def holds_results(path: str | Path) -> bool:
    """True of a name that `read_results` takes: .jsonl, .parquet, or the folder of a Ray run."""
    return Path(path).suffix.lower() in (".jsonl", ".parquet") or os.path.isfile(
        os.path.join(path, RUN)
    )


def read_results(path: str | Path) -> Iterator[ReportItem]:
    """Results of `sida detect --json FILE` or `predictions.jsonl`, in their order.

    Also of `sida detect --engine ray`: the folder of its run, or one of its parquet files.

    A picture is looked for where its line says, from the folder of the file, then from the current
    one. A line that cannot be read is a Failure that says so.

    Raises:
        InputError: the file cannot be read, or holds no line to the contract.
    """
    read = 0
    first: InputError | None = None
    try:
        for name, line, folder in _lines(Path(path)):
            try:
                result = _parsed(line, folder)
                read += 1
            except InputError as error:
                first = first or error
                yield ReportItem(Failure(image=name, error="unreadable_image", message=str(error)))
                continue
            yield ReportItem(result, _path_of(result.image, folder))
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    if not read:
        reason = f": {first}" if first else ", expected a line a picture"
        raise InputError(f"{str(path)!r} holds no verdict{reason}")


def _lines(path: Path) -> Iterator[tuple[str, bytes, Path]]:
    """The name of a line, the line, and the folder that the names in it are relative to."""
    if path.is_dir() or path.suffix.lower() == ".parquet":
        yield from _rows(path)
        return
    with path.open("rb") as stream:
        number = 0
        # Bounded: a file without line ends must not fill the memory.
        while line := stream.readline(LINE):
            number += 1
            if line.strip():
                yield f"{path.name}, line {number}", line, path.parent


def _rows(path: Path) -> Iterator[tuple[str, bytes, Path]]:
    """Rows of a Ray run as lines; its masks lie beside the folder of its rows."""
    with optional_package("pyarrow", "data", "A report of parquet files"):
        import pyarrow
        import pyarrow.parquet
    folder = path if path.is_dir() else path.absolute().parent.parent
    files = sorted((path / "verdicts").glob("*.parquet")) if path.is_dir() else [path]
    for file in files:
        try:
            with pyarrow.parquet.ParquetFile(file) as rows:
                number = 0
                for batch in rows.iter_batches(batch_size=BATCH):
                    for row in batch.to_pylist():
                        number += 1
                        line = json.dumps(row, default=str).encode()
                        yield f"{file.name}, row {number}", line, folder
        except (pyarrow.ArrowException, OSError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise InputError(f"{str(file)!r} cannot be read: {reason}") from error


def _parsed(line: bytes, folder: Path) -> Verdict | Failure:
    result = parse_line(line, folder)
    mask = result.localization.file if isinstance(result, Verdict) and result.localization else None
    if mask is not None and _path_of(mask, folder) == Path(mask):
        return parse_line(line)
    return result


def _path_of(name: str | None, folder: Path) -> Path | None:
    if name is None:
        return None
    paths = (folder / name, Path(name))
    # A name that no file can have is not there; a Path's own `exists` raises for some of them.
    return next((path for path in paths if os.path.exists(path)), paths[0])


def picture_of(verdict: Verdict, source: Path | None) -> tuple[Picture | None, str | None]:
    """The picture that was judged, or a sentence why it cannot be shown."""
    if source is None:
        return None, "The picture is not shown: the verdict names no file."
    try:
        picture = read_picture(source)
    except PictureError as error:
        return None, f"The picture is not shown: {error}."
    if verdict.sha256 is not None and picture.sha256 != verdict.sha256:
        return None, (
            f"The picture is not shown: {str(source)!r} is another file than the one that was "
            "judged (its SHA-256 differs)."
        )
    if (picture.width, picture.height) != (verdict.width, verdict.height):
        return None, (
            f"The picture is not shown: it is {picture.width} x {picture.height}, the one that "
            f"was judged {verdict.width} x {verdict.height}."
        )
    return picture, None
