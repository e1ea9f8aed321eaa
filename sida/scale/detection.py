"""`detect`: list, plan, do the shards that are missing. Called again, it goes on where it stopped.

The folder of a run holds `run.json` (its identity), `plan/` (its pictures), `verdicts/` (a parquet
file for each shard), `masks/` (a folder for each), and `begun/` (attempts at shards that are not
done).
"""

import hashlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

from sida.errors import ConfigError
from sida.options import DetectOptions, ModelOptions
from sida.provenance.inspection import require_provenance
from sida.run_folder import RunFolder
from sida.scale.listing import find
from sida.scale.plan import PlannedShard, Selection, planned_shards, select, write_plan
from sida.scale.pool import UNLIMITED, WorkerPool
from sida.scale.rows import FAILED, VerdictRow, count_labels, read_rows
from sida.scale.shard import (
    RETRIED,
    VERDICTS,
    can_retry,
    detect_shard,
    retry_failures,
    verdicts_file,
)
from sida.scale.store import Store, exclusive, reaching
from sida.scale.weights import Weights, locate, require_budget, worker_detector
from sida.verdict import Failure

__all__ = ["DetectionSummary", "detect"]

log = logging.getLogger(__name__)

RUN = "run.json"
OUTPUTS = ("plan/*.parquet", "verdicts/part-*", "masks/part-*", "begun/part-*")
BEFORE = ("lock.json", "plan")
"""May lie in a folder without a record: a bucket's lock, and a plan that was broken off."""
OPTIONS = {"inputs": "PATHS", "digest": "weights", "masks": "--mask-for"}

LOG_INTERVAL = 10.0
"""Seconds between two lines on progress."""
LISTED_FAILURES = 20
"""Failures that a summary has by name."""
SUMMARY = ("label", "image", "error", "message")
"""Columns that a summary is made of."""
BUDGETED = (*SUMMARY, "inconclusive", "budget")
"""The same of a run with a budget; files of earlier versions lack the last."""


@dataclass(frozen=True)
class DetectionSummary:
    """Pictures of a run by label, the number that failed, and the first few failures."""

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
    selection: Selection = Selection(),  # noqa: B008
    *,
    address: str | None = None,
    workers: int | None = None,
    fresh: bool = False,
    on_progress: Callable[[int, int], None] = lambda finished, total: None,
) -> DetectionSummary:
    """Detect in any number of pictures with Ray; the results are below `out`.

    Args:
        paths: as of `sida.scale.listing.find`: paths or addresses, tars and parquet files too.
        out: a folder or an address; new, or that of the same run, which then goes on.
        model: how each worker loads the weights, from the disk of its machine.
        options: the parts of a verdict that are asked for.
        selection: the pictures out of those that the paths mean.
        address: HOST:PORT of a Ray cluster, or `auto` for one that runs on this machine; without
            it that of $RAY_ADDRESS, or else one is started here and ended afterwards.
        workers: their number; else one for each GPU, or for each core where there is none.
        fresh: remove what an earlier run left in `out`, and start over.
        on_progress: called with the number of pictures that are done, and of all.

    Raises:
        MissingExtra: Ray is not installed, or a package that `provenance` needs.
        ConfigError: `out` belongs to another run or is being written to; an option is impossible;
            the budget cannot be kept.
        InputError: no picture, no access, no cluster at the address.
        CheckpointError, DownloadError: the model cannot be had.
        SidaError: workers stop, or raise it: a model that cannot be loaded, a full disk.
    """
    if options.provenance:
        require_provenance()
    if options.evidence or model.fast:
        raise ConfigError("evidence and fast are not for the engine ray: leave them out")
    if model.trust is not None and not options.provenance:
        raise ConfigError("trust needs provenance, which reads content credentials")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}, expected at least 1")
    # Its items count the deaths that they cause themselves, in the folder of the run.
    pool = WorkerPool(address, workers, model.device, retries=UNLIMITED)
    inputs = [str(path) for path in paths]
    # The digest is taken once, here: workers with other weights are refused.
    weights = locate(model)
    model = weights.model
    identity = {
        "model": model.model if model.random_weights is None else f"random {model.random_weights}",
        "digest": weights.digest,
        "inputs": [_absolute(path) for path in inputs],
        "from_list": selection.from_list and _absolute(str(selection.from_list)),
        "recursive": selection.recursive,
        "limit": selection.limit,
        "sample": selection.sample,
        "shard": str(selection.shard),
        "masks": options.masks,
        "explain": options.explain,
        "provenance": options.provenance,
        "stability": options.stability or None,
        "trust": model.trust and hashlib.sha256(model.trust.encode()).hexdigest(),
        "max_false_positives": options.max_false_positives,
        "calibration": model.calibration and hashlib.sha256(model.calibration.encode()).hexdigest(),
        "dtype": model.dtype,
        "quantize": model.quantize,
    }
    if options.max_false_positives is not None:  # refused before anything is written
        require_budget(weights, options.max_false_positives)
    store = Store(out)
    with exclusive(store), pool:
        folder = RunFolder(store, RUN, "inputs", lambda _: OUTPUTS, _option, before=BEFORE)
        with reaching(store.out):
            record = folder.claim(identity, fresh=fresh)
        if record is None:
            items = find(inputs, selection.recursive, selection.from_list)
            items = select(items, selection)
            pictures, shards = write_plan(store, items, selection.shard)
            # After the plan: a plan without a record is made again, a record without one is not.
            record = {"schema": "sida.scale/1", **identity, "pictures": pictures, "parts": shards}
            folder.begin(record)
        job = _Job(store, weights, options)
        shards_of_run = planned_shards(cast(int, record["parts"]), selection.shard)
        total = cast(int, record["pictures"])
        tally = _detect_missing(job, pool, shards_of_run, total, on_progress)
    failed = tally.counts.pop(FAILED, 0)
    failures = sorted(tally.failures, key=lambda failure: failure.image or "")
    return DetectionSummary(store.out, tally.counts, failed, tuple(failures))


def _absolute(path: str) -> str:
    """The same relative path means other pictures in another folder."""
    return path if "://" in path else os.path.abspath(path)


def _option(key: str) -> str:
    return OPTIONS.get(key, f"--{key.replace('_', '-')}")


@dataclass(frozen=True)
class _Job:
    """All that a worker needs to do a shard; called in its process."""

    store: Store
    weights: Weights
    options: DetectOptions

    @property
    def columns(self) -> Sequence[str]:
        """The columns of a summary."""
        return SUMMARY if self.options.max_false_positives is None else BUDGETED

    def __call__(self, task: tuple[PlannedShard, bool]) -> list[VerdictRow]:
        """Do a shard, or its failures again; gives the columns of a summary."""
        shard, again = task
        detector = worker_detector(self.weights)
        name = verdicts_file(shard.number)
        if again:
            rows = retry_failures(detector, self.store, shard, self.options)
        elif self.store.has(name):  # by a worker that was killed before it could answer
            rows = read_rows(self.store, name, self.columns)
        else:
            rows = detect_shard(detector, self.store, shard, self.options)
        return [{column: row.get(column) for column in self.columns} for row in rows]


class _DetectionTally:
    """Pictures by label, and the first failures."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[Failure] = []

    def add(self, rows: Iterable[VerdictRow]) -> None:
        """Count the rows of a shard."""
        rows = list(rows)
        self.counts.update(count_labels(rows))
        failed = (row for row in rows if row.get("error"))
        for row in islice(failed, LISTED_FAILURES - len(self.failures)):
            self.failures.append(
                Failure(image=row["image"], error=row["error"], message=row["message"])
            )


def _detect_missing(
    job: _Job,
    pool: WorkerPool,
    shards: list[PlannedShard],
    pictures: int,
    on_progress: Callable[[int, int], None],
) -> _DetectionTally:
    """Do the shards that have no file yet, and failures whose pictures can be read by now."""
    present = job.store.names(VERDICTS)
    tally, tasks = _DetectionTally(), []
    for shard in shards:
        name = verdicts_file(shard.number)
        if name.rsplit("/", 1)[-1] not in present:
            tasks.append((shard, False))
            continue
        rows = read_rows(job.store, name, job.columns)
        failed = [index for index, row in enumerate(rows) if row["error"] in RETRIED]
        # Checked by the driver, so that a run without anything to do starts no Ray.
        if failed and can_retry(job.store, shard, failed):
            tasks.append((shard, True))
        else:
            tally.add(rows)
    if not tasks:
        return tally
    report = _ProgressLog(pictures, tally.counts.total(), on_progress)
    for rows in pool.map(job, tasks):
        tally.add(rows)
        report.update(tally.counts.total())
    return tally


class _ProgressLog:
    """Calls back, and logs now and then: pictures that are done, the rate, the time left."""

    def __init__(
        self, pictures: int, finished: int, on_progress: Callable[[int, int], None]
    ) -> None:
        self._pictures, self._already_done, self._on_progress = pictures, finished, on_progress
        self._start = self._logged = time.monotonic()
        log.info("%d of %d pictures are left", pictures - finished, pictures)

    def update(self, finished: int) -> None:
        """Report the number of pictures that are done by now."""
        self._on_progress(finished, self._pictures)
        now = time.monotonic()
        if now - self._logged < LOG_INTERVAL and finished < self._pictures:
            return
        self._logged = now
        rate = (finished - self._already_done) / max(now - self._start, 1e-9)
        left = (self._pictures - finished) / max(rate, 1e-9)
        hours, seconds = divmod(round(left), 3600)
        log.info(
            "%d of %d pictures, %.1f a second, %d:%02d:%02d left",
            *(finished, self._pictures, rate, hours, *divmod(seconds, 60)),
        )
