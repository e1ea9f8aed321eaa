"""`detect_shard`: a shard of a run, from its rows in the plan to a file of verdicts and its masks.

The file of verdicts is written last, in one step: where it exists, the shard is done. Before a
worker starts on a shard it notes that beside it, so that the next one knows of a worker that died
there: after two deaths the pictures go through the detector one by one, each noted first, and one
that killed two workers alone is reported as a failure.
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
from sida.scale.fetch import fetch
from sida.scale.listing import Item
from sida.scale.plan import PlannedShard, read_shard
from sida.scale.rows import VerdictRow, encode, read_rows, row_of
from sida.scale.store import Store
from sida.verdict import Failure, Verdict

__all__ = [
    "RETRIED",
    "VERDICTS",
    "can_retry",
    "detect_shard",
    "retry_failures",
    "verdicts_file",
]

VERDICTS = "verdicts"
DEATHS = 2
"""Deaths after which a shard, and then a picture, is handled apart. More than one, as a worker may
also be killed for reasons of its machine."""
RETRIED = ("unreadable_image", "too_large", "not_found")
"""Failures that a run tries again when it goes on, where the picture can be read by then."""
FETCHERS = 8
"""Threads that fetch pictures while the detector works on others."""


def verdicts_file(number: int) -> str:
    """The name of the file with a shard's verdicts."""
    return f"{VERDICTS}/{_stem(number)}.parquet"


def _stem(number: int) -> str:
    return f"part-{number:08}"


def detect_shard(
    detector: Detector, store: Store, shard: PlannedShard, options: DetectOptions
) -> list[VerdictRow]:
    """Detect in the pictures of a shard and write verdicts and masks; returns its rows."""
    work = _work(detector, store, shard, options)
    attempts = _Attempts.read(store, shard.number)
    if attempts.together < DEATHS:
        attempts.start()
        rows = work.detect(range(len(work.items)))
    else:
        rows = [row for index in range(len(work.items)) for row in _alone(work, attempts, index)]
    store.write(verdicts_file(shard.number), encode(rows))
    attempts.forget()
    return rows


def retry_failures(
    detector: Detector, store: Store, shard: PlannedShard, options: DetectOptions
) -> list[VerdictRow]:
    """Try the failed pictures of a shard again, and write its verdicts anew."""
    name = verdicts_file(shard.number)
    rows = read_rows(store, name)
    work = _work(detector, store, shard, options)
    attempts = _Attempts.read(store, shard.number)
    for index, row in enumerate(rows):
        if row["error"] in RETRIED:
            (rows[index],) = _alone(work, attempts, index)
    store.write(name, encode(rows))
    attempts.forget()
    return rows


def can_retry(store: Store, shard: PlannedShard, failures: Sequence[int]) -> bool:
    """True where one of the pictures that failed, by their rows, can be read now."""
    items = read_shard(store, shard)
    for index in failures:
        source = fetch(items[index])
        if isinstance(source, PictureError):
            continue
        with suppress(PictureError, MemoryError):
            read_picture(source)
            return True
    return False


def _mask_path(relative: str) -> PurePosixPath:
    """A mask's path below its folder; names out of tars may be longer than a disk's may be."""
    path = PurePosixPath(relative.replace("\0", "_"))
    too_long = len(relative.encode()) > 600 or any(len(part.encode()) > 200 for part in path.parts)
    return PurePosixPath("long-name") if too_long else path


def _work(
    detector: Detector, store: Store, shard: PlannedShard, options: DetectOptions
) -> "_ShardWork":
    items = read_shard(store, shard)
    inputs = [Input(Path(), item.name, _mask_path(item.relative)) for item in items]
    masks = output_paths(f"masks/{_stem(shard.number)}", inputs, "_mask.png")
    return _ShardWork(detector, store, options, items, [mask.as_posix() for mask in masks])


def _alone(work: "_ShardWork", attempts: "_Attempts", index: int) -> list[VerdictRow]:
    if attempts.alone.get(index, 0) >= DEATHS:
        message = (
            f"workers that had it alone were killed {DEATHS} times, most likely for lack of "
            "memory: reduce the picture, or give workers more memory"
        )
        return [
            row_of(Failure(image=work.items[index].name, error="out_of_memory", message=message))
        ]
    attempts.start(index)
    rows = work.detect([index])
    attempts.end(index)
    return rows


@dataclass
class _ShardWork:
    """The pictures of a shard with all that is needed for their rows."""

    detector: Detector
    store: Store
    options: DetectOptions
    items: Sequence[Item]
    masks: Sequence[str]

    def detect(self, indices: Sequence[int]) -> list[VerdictRow]:
        """The rows of some pictures, in their order; their masks are written."""
        rows: dict[int, VerdictRow] = {}
        # Pictures that cannot be fetched never reach the detector: its results are matched to
        # the others in the order in which it asked for them.
        requested: deque[int] = deque()

        def requests() -> Iterator[Request]:
            fetched = prefetch(fetch, [self.items[i] for i in indices], FETCHERS, 2 * FETCHERS)
            for index, picture in zip(indices, fetched, strict=True):
                if isinstance(picture, PictureError):
                    rows[index] = self._row(
                        index, Failure(error=picture.code, message=str(picture))
                    )
                else:
                    requested.append(index)
                    yield Request.of(picture, self.options)

        for result in self.detector.run(requests()):
            index = requested.popleft()
            rows[index] = self._row(index, result)
        return [rows[index] for index in indices]

    def _row(self, index: int, result: Verdict | Failure) -> VerdictRow:
        if isinstance(result, Verdict) and result.mask is not None:
            self.store.write(self.masks[index], png_bytes(result.mask))
            result = result.with_mask_file(self.masks[index])
        return row_of(result.model_copy(update={"image": self.items[index].name}))


@dataclass
class _Attempts:
    """Starts without an end: of a shard's pictures together, and of each of them alone."""

    store: Store
    name: str
    together: int = 0
    alone: dict[int, int] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Store, shard: int) -> "_Attempts":
        name = f"begun/{_stem(shard)}.json"
        if (content := store.read(name)) is None:
            return cls(store, name)
        record = json.loads(content)
        alone = {int(index): deaths for index, deaths in record["alone"].items()}
        return cls(store, name, record["whole"], alone)

    def start(self, index: int | None = None) -> None:
        """Note a start before the detector can die of it: of all pictures, or of one."""
        if index is None:
            self.together += 1
        else:
            self.alone[index] = self.alone.get(index, 0) + 1
        record = {"whole": self.together, "alone": self.alone}
        self.store.write(self.name, json.dumps(record).encode())

    def end(self, index: int) -> None:
        """Forget one picture; written with the start of the next."""
        del self.alone[index]

    def forget(self) -> None:
        """Remove the notes of a shard that is done."""
        self.store.remove(self.name)
