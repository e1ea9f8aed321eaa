"""`detect`: list, plan, judge what is missing. Called again, it goes on where it was stopped.

The folder of a run holds `run.json` (what it is), `plan/` (its pictures), `verdicts/` (a parquet
file a part), `masks/` (a folder a part), and `begun/` (notes on parts that workers have begun).
"""

import hashlib
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sida.detector import Detector
from sida.errors import ConfigError, SidaError
from sida.evaluation import Shard
from sida.options import DetectOptions, ModelOptions
from sida.provenance.inspection import require_provenance
from sida.run_folder import RunFolder
from sida.scale.cluster import cluster, places_for, require_answer, require_ray, run
from sida.scale.listing import find
from sida.scale.part import (
    MENDABLE,
    VERDICTS,
    is_mended,
    judge_failed,
    judge_part,
    verdicts_name,
)
from sida.scale.plan import Place, chosen, places, write_plan
from sida.scale.rows import FAILED, Row, count_labels, read_rows
from sida.scale.store import Store, exclusive, reaching
from sida.scale.weights import load, locate
from sida.verdict import Failure

__all__ = ["Judged", "detect"]

log = logging.getLogger(__name__)

RUN = "run.json"
MADE = ("plan/*.parquet", "verdicts/part-*", "masks/part-*", "begun/part-*")
EVERY = 10.0
"""Seconds between two lines on progress."""

NAMED = 20
"""Failures that are told by name."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Judged:
    """What a run has come to: pictures by label; `failed` could not be judged.

    `failures` are the first few of these, each with its sentence.
    """

    out: str
    labels: Mapping[str, int]
    failed: int
    failures: tuple[Failure, ...] = ()

    @property
    def pictures(self) -> int:
        return sum(self.labels.values()) + self.failed


def detect(
    paths: Iterable[str | Path],
    out: str | Path,
    model: ModelOptions = ModelOptions(),
    options: DetectOptions = DetectOptions(),
    *,
    recursive: bool = True,
    from_list: str | Path | None = None,
    limit: int | None = None,
    sample: float | None = None,
    shard: Shard = Shard(),  # noqa: B008
    address: str | None = None,
    workers: int | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Judged:
    """Judge any number of pictures with Ray; the results are below `out`.

    Args:
        paths: as of `sida.scale.listing.find`: paths or addresses, tars and parquet files too.
        out: a folder or an address; new, or that of the same run, which then goes on.
        model: how each worker loads the weights, from the disk of its machine.
        options: the parts of a verdict that are asked for.
        recursive, from_list: as of `find`.
        limit: only so many of the first pictures.
        sample: only this share of the pictures, above 0 and up to 1, chosen by their names.
        shard: only these parts; all shards together are the whole. Each has an `out` of its own.
        address: HOST:PORT of a Ray cluster, or `auto` for one that runs on this machine; without
            it that of $RAY_ADDRESS, or else one is started here and ended afterwards.
        workers: without it one a graphics card, or one a core where there is none.
        fresh: remove what an earlier run left in `out`, and begin anew.
        progress: called with how many pictures are done, and how many there are.

    Raises:
        MissingExtra: Ray is not installed, or a package that `provenance` needs.
        ConfigError: `out` belongs to another run or is being written to; an option is impossible.
        InputError: no picture, no access, no cluster at the address.
        CheckpointError, DownloadError: the model cannot be had.
        SidaError: a worker cannot load it, or cannot write.
    """
    require_ray()
    if options.provenance:
        require_provenance()
    if options.evidence or model.fast:
        raise ConfigError("evidence and fast are not for the engine ray: leave them out")
    _check(limit, sample, workers)
    if address := address or os.environ.get("RAY_ADDRESS"):
        require_answer(address)
    given = [str(path) for path in paths]
    model, digest = locate(model)
    trust = model.trust
    identity = {
        "model": model.model if model.random_weights is None else f"random {model.random_weights}",
        "digest": digest,
        "inputs": [_absolute(each) for each in given],
        "from_list": from_list and _absolute(str(from_list)),
        "recursive": recursive,
        "limit": limit,
        "sample": sample,
        "shard": str(shard),
        "masks": options.masks,
        "explain": options.explain,
        "provenance": options.provenance,
        "trust": trust and hashlib.sha256(trust.encode()).hexdigest(),
        "dtype": model.dtype,
        "quantize": model.quantize,
    }
    store = Store(out)
    with exclusive(store):
        if trust is not None and not options.provenance:
            raise ConfigError("trust needs provenance, which reads content credentials")
        folder = RunFolder(store, RUN, "inputs", lambda _: MADE, _option, before=BEFORE)
        with reaching(store.out):
            begun = folder.claim(identity, fresh=fresh)
        if begun is None:
            items = chosen(find(given, recursive, from_list), sample, limit)
            pictures, parts = write_plan(store, items, shard)
            begun = {"schema": "sida.scale/1", **identity, "pictures": pictures, "parts": parts}
            folder.begin(begun)
        job = _Job(store, model, digest, options)
        tally = _judge_missing(job, begun, shard, (address, workers), progress)
    failed = tally.counts.pop(FAILED, 0)
    failures = sorted(tally.failures, key=lambda failure: failure.image or "")
    return Judged(store.out, tally.counts, failed, tuple(failures))


def _absolute(path: str) -> str:
    """The same relative path means other pictures in another folder."""
    return path if "://" in path else os.path.abspath(path)


def _check(limit: int | None, sample: float | None, workers: int | None) -> None:
    if sample is not None and not 0 < sample <= 1:
        raise ConfigError(f"the sample is {sample}, expected a share above 0 and up to 1")
    for name, value in (("limit", limit), ("workers", workers)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}, expected at least 1")


BEFORE = ("lock.json", "plan")
"""What may lie in a folder without a record: a bucket's lock, and a plan that was broken off."""
OPTIONS = {"inputs": "PATHS", "digest": "weights", "masks": "--mask-for"}


def _option(key: str) -> str:
    return OPTIONS.get(key, f"--{key.replace('_', '-')}")


@dataclass(frozen=True)
class _Job:
    """All that a worker must know."""

    store: Store
    model: ModelOptions
    digest: str
    options: DetectOptions

    def detector(self) -> Detector:
        """Load the weights; those of another digest are refused."""
        return load(self.model, self.digest)


class _Worker:
    """What Ray makes of a job on each of its places. Its own errors are results: Ray's say more."""

    def __init__(self, job: _Job) -> None:
        self.job = job
        try:
            self.detector: Detector | SidaError = job.detector()
        except SidaError as error:
            self.detector = error

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        """Judge one part; gives its labels, or a sentence."""
        place = Place(*(int(batch[name][0]) for name in Place._fields))
        try:
            rows = self._rows(place, again=bool(batch.get("again", [0])[0]))
            summary = json.dumps([{key: row.get(key) for key in SUMMARY} for row in rows])
            return {"rows": [summary], "error": [""]}
        except SidaError as error:
            return {"rows": [""], "error": [str(error)]}

    def _rows(self, place: Place, again: bool) -> list[Row]:
        if isinstance(self.detector, SidaError):
            raise self.detector
        store, name = self.job.store, verdicts_name(place.part)
        if again:
            return judge_failed(self.detector, store, place, self.job.options)
        if store.has(name):  # by a worker that was killed before it could say so
            return read_rows(store, name, SUMMARY)
        return judge_part(self.detector, store, place, self.job.options)


SUMMARY = ("label", "image", "error", "message")
"""Columns that a run's last lines are made of."""


class _Tally:
    """Labels, and the first failures."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[Failure] = []

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count the rows of a part."""
        rows = list(rows)
        self.counts.update(count_labels(rows))
        failed = (row for row in rows if row.get("error"))
        for row in islice(failed, NAMED - len(self.failures)):
            self.failures.append(
                Failure(image=row["image"], error=row["error"], message=row["message"])
            )


def _judge_missing(
    job: _Job,
    begun: Mapping[str, Any],
    shard: Shard,
    where: tuple[str | None, int | None],
    progress: Progress | None,
) -> _Tally:
    """Judge parts that have no file yet, and pictures that failed and can be read by now."""
    address, workers = where
    there = job.store.names(VERDICTS)
    own = places(begun["parts"], shard)
    names = {place: verdicts_name(place.part) for place in own}
    done = {place for place in own if names[place].rsplit("/", 1)[-1] in there}
    tally, again = _Tally(), set()
    for place in sorted(done):
        rows = read_rows(job.store, names[place], SUMMARY)
        failed = [index for index, row in enumerate(rows) if row["error"] in MENDABLE]
        if failed and is_mended(job.store, place, failed):
            again.add(place)
        else:
            tally.add(rows)
    if len(done) == len(own) and not again:
        return tally
    with cluster(address, workers) as ray:
        room, needs = places_for(ray, job.model.device)
        missing = [
            {**place._asdict(), "again": int(place in again)}
            for place in own
            if place not in done or place in again
        ]
        watch = _Watch(begun["pictures"], tally.counts.total(), progress)
        for row in run(ray, _Worker, job, missing, workers or room, needs):
            if row["error"]:
                raise SidaError(row["error"])
            tally.add(json.loads(row["rows"]))
            watch.show(tally.counts.total())
    return tally


class _Watch:
    """Says how far a run is, how fast, and how long it will take."""

    def __init__(self, pictures: int, before: int, progress: Progress | None) -> None:
        self._pictures, self._before, self._progress = pictures, before, progress
        self._start = self._said = time.monotonic()
        log.info("%d of %d pictures are to be judged", pictures - before, pictures)

    def show(self, done: int) -> None:
        if self._progress is not None:
            self._progress(done, self._pictures)
        now = time.monotonic()
        if now - self._said < EVERY and done < self._pictures:
            return
        self._said = now
        rate = (done - self._before) / max(now - self._start, 1e-9)
        left = (self._pictures - done) / max(rate, 1e-9)
        hours, seconds = divmod(round(left), 3600)
        log.info(
            "%d of %d pictures, %.1f a second, %d:%02d:%02d left",
            *(done, self._pictures, rate, hours, *divmod(seconds, 60)),
        )
