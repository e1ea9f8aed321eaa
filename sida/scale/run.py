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
from pathlib import Path
from typing import Any, Literal

from sida.assets import DEFAULT_MODEL
from sida.detector import Detector, MaskWish
from sida.errors import ConfigError, SidaError
from sida.evaluation import Shard
from sida.evidence.provenance import require_provenance
from sida.scale.cluster import cluster, places_for, require_answer, require_ray, run
from sida.scale.listing import find
from sida.scale.part import VERDICTS, Wish, judge_part, verdicts_name
from sida.scale.plan import Place, chosen, places, write_plan
from sida.scale.rows import FAILED, count_labels
from sida.scale.store import Store, exclusive, reaching
from sida.scale.weights import load, locate

__all__ = ["Judged", "detect"]

log = logging.getLogger(__name__)

RUN = "run.json"
EVERY = 10.0
"""Seconds between two lines on progress."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Judged:
    """What a run has come to: pictures by label; `failed` could not be judged."""

    out: str
    labels: Mapping[str, int]
    failed: int

    @property
    def pictures(self) -> int:
        return sum(self.labels.values()) + self.failed


def detect(
    paths: Iterable[str | Path],
    out: str | Path,
    *,
    model: str = DEFAULT_MODEL,
    random_weights: str | None = None,
    masks: MaskWish = "tampered",
    explain: bool = False,
    provenance: bool = False,
    trust: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    quantize: str | None = None,
    batch_size: int | Literal["auto"] = "auto",
    recursive: bool = True,
    from_list: str | Path | None = None,
    limit: int | None = None,
    sample: float | None = None,
    shard: Shard = Shard(),  # noqa: B008
    address: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Judged:
    """Judge any number of pictures with Ray; the results are below `out`.

    Args:
        paths: as of `sida.scale.listing.find`: paths or addresses, tars and parquet files too.
        out: a folder or an address; new, or that of the same run, which then goes on.
        model, random_weights, device, dtype, quantize, batch_size: as of `Detector.load` and
            `Detector.random`; each worker loads the weights from the disk of its machine.
        masks: of tampered pictures, of all, or of none.
        explain: whether the model shall write why.
        provenance: whether what the files say of themselves and show is added.
        trust: as of `Detector`.
        recursive, from_list: as of `find`.
        limit: only so many of the first pictures.
        sample: only this share of the pictures, above 0 and up to 1, chosen by their names.
        shard: only these parts; all shards together are the whole. Each has an `out` of its own.
        address: HOST:PORT of a Ray cluster, or `auto` for one that runs on this machine; without
            it that of $RAY_ADDRESS, or else one is started here and ended afterwards.
        workers: without it one a graphics card, or one a core where there is none.
        progress: called with how many pictures are done, and how many there are.

    Raises:
        MissingExtra: Ray is not installed, or a package that `provenance` needs.
        ConfigError: `out` belongs to another run or is being written to; an option is impossible.
        InputError: no picture, no access, no cluster at the address.
        CheckpointError, DownloadError: the model cannot be had.
        SidaError: a worker cannot load it, or cannot write.
    """
    require_ray()
    if provenance:
        require_provenance()
    _check(limit, sample, workers)
    if address := address or os.environ.get("RAY_ADDRESS"):
        require_answer(address)
    given = [str(path) for path in paths]
    model, digest = locate(model, random_weights)
    identity = {
        "model": model if random_weights is None else f"random {random_weights}",
        "digest": digest,
        "inputs": [_absolute(each) for each in given],
        "from_list": from_list and _absolute(str(from_list)),
        "recursive": recursive,
        "limit": limit,
        "sample": sample,
        "shard": str(shard),
        "masks": masks,
        "explain": explain,
        "provenance": provenance,
        "trust": trust and hashlib.sha256(trust.encode()).hexdigest(),
        "dtype": dtype,
        "quantize": quantize,
    }
    store = Store(out)
    with exclusive(store):
        begun = _begun(store, identity)
        if begun is None:
            items = chosen(find(given, recursive, from_list), sample, limit)
            pictures, parts = write_plan(store, items, shard)
            begun = {"schema": "sida.scale/1", **identity, "pictures": pictures, "parts": parts}
            store.write(RUN, json.dumps(begun, indent=1).encode())
        how = (device, dtype, quantize, batch_size)
        wish = Wish(masks, explain, provenance)
        job = _Job(store, model, random_weights, how, digest, wish, trust)
        counts = _judge_missing(job, begun, shard, (address, workers), progress)
    failed = counts.pop(FAILED, 0)
    return Judged(store.out, counts, failed)


def _absolute(path: str) -> str:
    """The same relative path means other pictures in another folder."""
    return path if "://" in path else os.path.abspath(path)


def _check(limit: int | None, sample: float | None, workers: int | None) -> None:
    if sample is not None and not 0 < sample <= 1:
        raise ConfigError(f"the sample is {sample}, expected a share above 0 and up to 1")
    for name, value in (("limit", limit), ("workers", workers)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}, expected at least 1")


def _begun(store: Store, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is there of this run; None at its beginning.

    Raises ConfigError where the folder is another's.
    """
    with reaching(store.out):
        found = store.read(RUN)
    if found is None:
        if strangers := store.names("") - {".lock", "lock.json", "plan"}:
            raise ConfigError(
                f"{store.out!r} holds {min(strangers)!r} and no {RUN}: choose a new folder"
            )
        return None
    try:
        begun: dict[str, Any] = json.loads(found)
        before = {key: begun[key] for key in identity}
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{store.out!r} holds a {RUN} of something else: choose another"
        ) from None
    changed = [
        f"{key}={identity[key]} (was {before[key]})"
        for key in identity
        if identity[key] != before[key]
    ]
    if changed:
        raise ConfigError(
            f"{store.out!r} was begun as another run: {', '.join(changed[:3])}. Go on with the "
            "same, or choose another --out."
        )
    return begun


@dataclass(frozen=True)
class _Job:
    """All that a worker must know."""

    store: Store
    model: str
    random_weights: str | None
    how: tuple[Any, ...]
    digest: str
    wish: Wish
    trust: str | None = None

    def detector(self) -> Detector:
        """Load the weights; those of another digest are refused."""
        detector = load(self.model, self.random_weights, self.how, self.digest)
        detector.trust = self.trust
        return detector


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
            return {"labels": [json.dumps(self._labels(place))], "error": [""]}
        except SidaError as error:
            return {"labels": [""], "error": [str(error)]}

    def _labels(self, place: Place) -> Counter[str]:
        if isinstance(self.detector, SidaError):
            raise self.detector
        name = verdicts_name(place.part)
        if self.job.store.has(name):  # by a worker that was killed before it could say so
            return count_labels(self.job.store, [name])
        rows = judge_part(self.detector, self.job.store, place, self.job.wish)
        return Counter(row.get("label", FAILED) for row in rows)


def _judge_missing(
    job: _Job,
    begun: Mapping[str, Any],
    shard: Shard,
    where: tuple[str | None, int | None],
    progress: Progress | None,
) -> Counter[str]:
    """Judge the parts that have no file yet; returns the labels of all parts."""
    address, workers = where
    there = job.store.names(VERDICTS)
    own = places(begun["parts"], shard)
    names = {place: verdicts_name(place.part) for place in own}
    done = {place for place in own if names[place].rsplit("/", 1)[-1] in there}
    counts = count_labels(job.store, (names[place] for place in sorted(done)))
    if len(done) == len(own):
        return counts
    with cluster(address, workers) as ray:
        room, needs = places_for(ray, job.how[0])
        missing = [place._asdict() for place in own if place not in done]
        watch = _Watch(begun["pictures"], counts.total(), progress)
        for row in run(ray, _Worker, job, missing, workers or room, needs):
            if row["error"]:
                raise SidaError(row["error"])
            counts.update(json.loads(row["labels"]))
            watch.show(counts.total())
    return counts


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
