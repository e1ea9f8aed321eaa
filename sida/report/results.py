"""Results to report on: verdicts or failures with their pictures, also from earlier runs."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sida.errors import InputError, PictureError
from sida.image.read import Picture, read_picture
from sida.verdict import Failure, Verdict, parse_line

__all__ = ["Result", "picture_of", "read_results"]

LINE = 4 << 20  # bytes of a line that is read


class Result(NamedTuple):
    """What was found of a picture, and where it lies; `source` is None where nobody knows."""

    found: Verdict | Failure
    source: Path | None = None


def read_results(path: str | Path) -> Iterator[Result]:
    """Results of `sida detect --json FILE` or `predictions.jsonl`, in their order.

    A picture is looked for where its line says, from the folder of the file, then from the current
    one. A line that cannot be read is a Failure that says so.

    Raises:
        InputError: the file cannot be read, or holds no line to the contract.
    """
    file, read, number = Path(path), 0, 0
    first: InputError | None = None
    try:
        with file.open("rb") as stream:
            while line := stream.readline(LINE):
                number += 1
                if not line.strip():
                    continue
                try:
                    found = _parsed(line, file.parent)
                    read += 1
                except InputError as error:
                    first = first or error
                    place, text = f"{file.name}, line {number}", str(error)
                    yield Result(Failure(image=place, error="unreadable_image", message=text))
                    continue
                yield Result(found, _place(found.image, file.parent))
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    if not read:
        why = f": {first}" if first else ", expected a line a picture"
        raise InputError(f"{str(path)!r} holds no verdict{why}")


def _parsed(line: bytes, folder: Path) -> Verdict | Failure:
    found = parse_line(line, folder)
    mask = found.localization.file if isinstance(found, Verdict) and found.localization else None
    if mask is not None and _place(mask, folder) == Path(mask):
        return parse_line(line)
    return found


def _place(name: str | None, folder: Path) -> Path | None:
    if name is None:
        return None
    places = (folder / name, Path(name))
    # A name that no file can have is not there; a Path's own `exists` raises for some of them.
    return next((place for place in places if os.path.exists(place)), places[0])


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
