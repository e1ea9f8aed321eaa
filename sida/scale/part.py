"""`judge_part`: one part of a run, from its place in the plan to a file of rows and its masks.

The file of rows is written last, in one step: where it is, the part is done. Before a part is
begun that is noted beside it. Who finds such a note knows that a worker died of this part: after
two such deaths its pictures are judged one by one, each noted first, and one that a worker died of
twice, alone, is reported as a failure and left out.
"""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sida.detector import Detector
from sida.errors import PictureError
from sida.files import Input, output_paths
from sida.image.overlay import png_bytes
from sida.image.prefetch import prefetch
from sida.image.read import read_picture
from sida.options import DetectOptions, Request
from sida.scale.listing import Item
from sida.scale.plan import Place, read_part
from sida.scale.reading import fetch
from sida.scale.rows import Row, encode, read_rows, row_of
from sida.scale.store import Store
from sida.verdict import Failure, Verdict

__all__ = [
    "MENDABLE",
    "VERDICTS",
    "is_mended",
    "judge_failed",
    "judge_part",
    "verdicts_name",
]

VERDICTS = "verdicts"
DEATHS = 2
"""That a part, and then a picture, may cause before it is dealt with. More than one, as a worker
may also be killed for reasons of its machine."""
MENDABLE = ("unreadable_image", "too_large", "not_found")
"""Failures that are tried again where the picture can be read by then."""
FETCHERS = 8
"""Threads that fetch from a store while others are judged."""


def verdicts_name(part: int) -> str:
    """Where the rows of a part are."""
    return f"{VERDICTS}/{_stem(part)}.parquet"


def _stem(part: int) -> str:
    return f"part-{part:08}"


def judge_part(detector: Detector, store: Store, place: Place, options: DetectOptions) -> list[Row]:
    """Judge the pictures of a part and write what comes of it; returns its rows."""
    work = _work(detector, store, place, options)
    notes = _Notes.read(store, place.part)
    if notes.whole < DEATHS:
        notes.begin()
        rows = work.judge(range(len(work.items)))
    else:
        rows = [row for index in range(len(work.items)) for row in _alone(work, notes, index)]
    store.write(verdicts_name(place.part), encode(rows))
    notes.forget()
    return rows


def judge_failed(
    detector: Detector, store: Store, place: Place, options: DetectOptions
) -> list[Row]:
    """Judge the pictures of a part again that could not be, and write the part anew."""
    name = verdicts_name(place.part)
    rows = read_rows(store, name)
    work = _work(detector, store, place, options)
    notes = _Notes.read(store, place.part)
    for index, row in enumerate(rows):
        if row["error"] in MENDABLE:
            (rows[index],) = _alone(work, notes, index)
    store.write(name, encode(rows))
    notes.forget()
    return rows


def is_mended(store: Store, place: Place, failures: Sequence[int]) -> bool:
    """True where one of the pictures that failed, by their rows, can be read now."""
    items = read_part(store, place)
    for index in failures:
        found = fetch(items[index])
        if isinstance(found, PictureError):
            continue
        with suppress(PictureError, MemoryError):
            read_picture(found)
            return True
    return False


def _below(relative: str) -> PurePosixPath:
    """A place for a mask; names out of tars may be longer than those of files may be."""
    place = PurePosixPath(relative.replace("\0", "_"))
    long = len(relative.encode()) > 600 or any(len(part.encode()) > 200 for part in place.parts)
    return PurePosixPath("long-name") if long else place


def _work(detector: Detector, store: Store, place: Place, options: DetectOptions) -> "_Work":
    items = read_part(store, place)
    below = [Input(Path(), each.name, _below(each.relative)) for each in items]
    masks = output_paths(f"masks/{_stem(place.part)}", below, "_mask.png")
    return _Work(detector, store, options, items, [mask.as_posix() for mask in masks])


def _alone(work: "_Work", notes: "_Notes", index: int) -> list[Row]:
    if notes.alone.get(index, 0) >= DEATHS:
        message = (
            f"workers that judged it alone were killed {DEATHS} times, most likely as memory did "
            "not suffice: reduce the picture, or give workers more memory"
        )
        return [
            row_of(Failure(image=work.items[index].name, error="out_of_memory", message=message))
        ]
    notes.begin(index)
    rows = work.judge([index])
    notes.end(index)
    return rows


@dataclass
class _Work:
    """The pictures of a part, and what is to be done with them."""

    detector: Detector
    store: Store
    options: DetectOptions
    items: Sequence[Item]
    masks: Sequence[str]

    def judge(self, indices: Sequence[int]) -> list[Row]:
        """The rows of some pictures, in their order; their masks are written."""
        rows: dict[int, Row] = {}
        asked: deque[int] = deque()

        def requests() -> Iterator[Request]:
            fetched = prefetch(fetch, [self.items[i] for i in indices], FETCHERS, 2 * FETCHERS)
            for index, picture in zip(indices, fetched, strict=True):
                if isinstance(picture, PictureError):
                    rows[index] = self._row(
                        index, Failure(error=picture.code, message=str(picture))
                    )
                else:
                    asked.append(index)
                    yield Request.of(picture, self.options)

        for result in self.detector.run(requests()):
            index = asked.popleft()
            rows[index] = self._row(index, result)
        return [rows[index] for index in indices]

    def _row(self, index: int, result: Verdict | Failure) -> Row:
        if isinstance(result, Verdict) and result.mask is not None:
            self.store.write(self.masks[index], png_bytes(result.mask))
            result = result.with_mask_file(self.masks[index])
        return row_of(result.model_copy(update={"image": self.items[index].name}))


@dataclass
class _Notes:
    """How often a part was begun whole, and each of its pictures alone, without an end."""

    store: Store
    name: str
    whole: int = 0
    alone: dict[int, int] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Store, part: int) -> "_Notes":
        name = f"begun/{_stem(part)}.json"
        if (found := store.read(name)) is None:
            return cls(store, name)
        noted = json.loads(found)
        alone = {int(index): deaths for index, deaths in noted["alone"].items()}
        return cls(store, name, noted["whole"], alone)

    def begin(self, index: int | None = None) -> None:
        """Note what is about to be judged: the whole part, or one picture of it."""
        if index is None:
            self.whole += 1
        else:
            self.alone[index] = self.alone.get(index, 0) + 1
        noted = {"whole": self.whole, "alone": self.alone}
        self.store.write(self.name, json.dumps(noted).encode())

    def end(self, index: int) -> None:
        """That picture is judged; it is noted with the next one's beginning."""
        del self.alone[index]

    def forget(self) -> None:
        """The part is done."""
        self.store.remove(self.name)
