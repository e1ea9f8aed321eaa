"""Which picture of one folder is the original of which in another: by name, or by likeness."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sida.data.checks.traits import look_hash
from sida.errors import InputError, PictureError
from sida.files import Input, find_pictures
from sida.image.read import read_picture

__all__ = ["MOST_BITS", "Match", "match_folders", "nearest_looks"]

MOST_BITS = 16
"""Of 64 by which the look of an edited picture and its original may differ."""


@dataclass(frozen=True)
class Match:
    """An edited picture and its original; None where there is none."""

    original: Input | None
    edited: Input


def match_folders(originals: str | Path, edited: str | Path) -> list[Match]:
    """Each picture of `edited` with its original, in the order of `edited`.

    That is the one of the same name (below the folder, without its suffix), else the one that looks
    most alike, if any does. Raises InputError for a folder without pictures.
    """
    for folder in (originals, edited):
        if not Path(folder).exists():
            raise InputError(f"{str(folder)!r} was not found: check the path")
        if not Path(folder).is_dir():
            raise InputError(f"{str(folder)!r} is not a folder: give two folders, or two pictures")
    candidates, inputs = find_pictures([originals]), find_pictures([edited])
    by_name = {_name(item): item for item in candidates}
    nameless = [item for item in inputs if _name(item) not in by_name]
    by_look = dict(zip(nameless, _alike(nameless, candidates), strict=True)) if nameless else {}
    return [Match(by_name.get(_name(item)) or by_look.get(item), item) for item in inputs]


def _name(item: Input) -> str:
    return str(item.relative.with_suffix("")).casefold()


def _alike(inputs: Sequence[Input], candidates: Sequence[Input]) -> list[Input | None]:
    looks = _looks(candidates)
    nearest = nearest_looks(_looks(inputs), looks)
    return [None if index is None else candidates[index] for index in nearest]


def _looks(items: Iterable[Input]) -> list[int | None]:
    """Hashes of looks; None for flat pictures, and those that cannot be read."""
    looks: list[int | None] = []
    for item in items:
        try:
            looks.append(look_hash(read_picture(item).pixels))
        except PictureError:  # told where the pair is compared
            looks.append(None)
    return looks


def nearest_looks(
    looks: Sequence[int | None], candidates: Sequence[int | None]
) -> list[int | None]:
    """For each look the index of the other that differs in fewest bits; None above `MOST_BITS`."""
    indices = [index for index, candidate in enumerate(candidates) if candidate is not None]
    bits: NDArray[np.uint64] = np.array([candidates[index] for index in indices], np.uint64)
    matches: list[int | None] = []
    for query in looks:
        if query is None or not indices:
            matches.append(None)
            continue
        # All candidates at once: in Python a loop over pairs would be most of the run.
        apart = np.bitwise_count(bits ^ np.uint64(query))
        nearest = int(np.argmin(apart))
        matches.append(indices[nearest] if apart[nearest] <= MOST_BITS else None)
    return matches
