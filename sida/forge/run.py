"""`forge`: a labelled set out of photographs, by several processes, and resumed where it stopped.

In the folder that is written, `.forge/` holds what belongs to an unfinished run: its identity, and
a file for each finished unit. When all units are there, the manifest is put together from these
files, and `.forge/` goes. So a run that was stopped anywhere ends with the same files as another.
"""

import glob
import hashlib
import importlib
import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from sida.errors import ConfigError, DataError, optional_package
from sida.files import write_text, write_whole
from sida.forge.config import ForgeConfig, read_config
from sida.forge.job import Job
from sida.forge.photographs import digest, find_photographs, read_captions
from sida.forge.processes import in_order_or_not, process_count, quiet_process
from sida.run_folder import LocalFolder, RunFolder, RunRecord, locked
from sida.verdict import LABELS

__all__ = ["Forged", "Mapper", "Progress", "forge", "train_autoencoders"]

logger = logging.getLogger(__name__)

Mapper = Callable[[Callable[[int], int], Sequence[int]], Iterable[int]]
"""Calls a function with each of many units, anywhere and in any order; gives the results."""

Progress = Callable[[str, int, int], None]
"""Called with "autoencoders" or "units", the number of finished ones, and that of all."""

RUN = ".forge/run.json"
_FORMAT = 2
"""Of what a seed means: a release that makes other pictures of the same seed raises it."""


@dataclass(frozen=True)
class Forged:
    """Pictures of a run by class, and its tampered and synthetic ones by operation."""

    out: Path
    counts: dict[str, int]
    operations: dict[str, int]


def forge(
    config: str | Path | ForgeConfig,
    out: str | Path,
    overrides: Sequence[str] = (),
    mapper: Mapper | None = None,
    progress: Progress | None = None,
    fresh: bool = False,
) -> Forged:
    """Make a labelled set out of photographs.

    The folder gets `real/`, `full_synthetic/`, `tampered/`, `masks/`, `description/` and
    `manifest.parquet`. The same configuration and photographs give the same bytes, whatever the
    number of processes, also if the run was stopped and called again; a finished one is left as
    it is.

    Args:
        config: a `ForgeConfig`, a YAML file, or a packaged name such as "small".
        out: a new or empty folder, or that of the same run.
        overrides: `key=value` strings.
        mapper: runs the units on something else than processes of this machine.
        progress: called as work gets done, see `Progress`.
        fresh: remove what an earlier run left in `out`, autoencoders too, and start over.

    Raises:
        ConfigError: the configuration does not fit, or `out` belongs to a run of another.
        InputError, DataError: there are no photographs, or `out` holds other things.
        MissingExtra: OpenCV, scikit-image or pyarrow is not installed.
    """
    config = _config(config, overrides)
    _require_packages()
    job = _job(config, Path(out))
    identity = _identity(job)
    folder = _run_folder(job.out)
    # Two runs in one folder would mix their units.
    with locked(job.out):
        finished = _finished(job.out)
        if folder.claim(identity, fresh=fresh, stored=finished) is None:
            folder.begin(identity)
        elif finished is not None:
            # Stopped between the manifest and the removal of its units.
            shutil.rmtree(job.out / ".forge", ignore_errors=True)
            return _summary(job.out)
        progress = progress or _silent
        _train_missing(job, progress)
        _make_units(job, mapper, progress)
        _finish(job, identity)
        return _summary(job.out)


def train_autoencoders(
    config: str | Path | ForgeConfig,
    out: str | Path,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Train the autoencoders of a configuration into `out/NAME`; those that are there stay.

    Returns their folders by name; `weights=OUT` makes `forge` use them.
    """
    config = _config(config, overrides)
    if not any(autoencoder.pretrained is None for autoencoder in config.autoencoders):
        raise ConfigError("the configuration has no autoencoder to train: add one to autoencoders")
    job = _job(config.model_copy(update={"weights": Path(out)}), Path(out))
    _train_missing(job, progress or _silent)
    return {autoencoder.name: job.weights / autoencoder.name for autoencoder in _trainable(config)}


def _silent(stage: str, count: int, total: int) -> None:
    pass


def _config(config: str | Path | ForgeConfig, overrides: Sequence[str]) -> ForgeConfig:
    return config if isinstance(config, ForgeConfig) else read_config(config, overrides)


def _require_packages() -> None:
    """A sentence instead of an ImportError, before anything is written."""
    for module, package in (("cv2", "opencv-python-headless"), ("skimage", "scikit-image")):
        with optional_package(package, "forge", "Forging pictures"):
            importlib.import_module(module)
    _parquet()


def _parquet() -> Any:
    with optional_package("pyarrow", "forge", "Forging pictures"):
        import pyarrow
        import pyarrow.parquet
    return pyarrow


def _job(config: ForgeConfig, out: Path) -> Job:
    photographs = find_photographs(config.photographs, config.objects, config.captions)
    texts = read_captions(config.captions)[1] if config.captions else ()
    job = Job(config, photographs, out, config.weights or out / "autoencoders", texts)
    key_fields = json.dumps([str(out.resolve()), str(job.weights), config.device, _identity(job)])
    return replace(job, key=hashlib.sha256(key_fields.encode()).hexdigest())


def _identity(job: Job) -> dict[str, Any]:
    """All options that decide the bytes: not the paths, the device or the number of processes."""
    excluded = {"photographs", "objects", "captions", "weights", "workers", "device"}
    return {
        "format": _FORMAT,
        "photographs": digest(job.photographs),
        "captions": hashlib.sha256(json.dumps(list(job.captions)).encode()).hexdigest(),
        "config": job.config.model_dump(mode="json", exclude=excluded),
    }


def _run_folder(out: Path) -> RunFolder:
    return RunFolder(
        LocalFolder(out), RUN, "photographs", _written_patterns, _option, before=["autoencoders"]
    )


def _written_patterns(record: RunRecord) -> Iterator[str]:
    """Patterns of what a run writes."""
    for label in LABELS:
        yield f"{label}/{label[0]}[0-9]*.*"
        yield f"description/{label}_GT.json"
    yield from ("masks/[rft][0-9]*_mask.png", "manifest.parquet", ".forge/units")
    config = cast(Mapping[str, Sequence[Mapping[str, str]]], record["config"])
    for autoencoder in config.get("autoencoders", ()):
        yield f"autoencoders/{glob.escape(autoencoder['name'])}"


def _option(key: str) -> str:
    return key.removeprefix("config.")


def _trainable(config: ForgeConfig) -> list[Any]:
    return [autoencoder for autoencoder in config.autoencoders if autoencoder.pretrained is None]


def _train_missing(job: Job, progress: Progress) -> None:
    from sida.forge.autoencoder import is_trained

    config = job.config
    missing = [
        autoencoder.name
        for autoencoder in _trainable(config)
        if not is_trained(job.weights / autoencoder.name)
    ]
    if not missing:
        return
    progress("autoencoders", 0, len(missing))
    # Spawning more processes than autoencoders costs their imports for nothing.
    count = min(len(missing), process_count(config.workers))
    trained = in_order_or_not(partial(_train_one, job), missing, count)
    for trained_count, name in enumerate(trained, 1):
        logger.info("Trained the autoencoder %s.", name)
        progress("autoencoders", trained_count, len(missing))


def _train_one(job: Job, name: str) -> str:
    from sida.forge.autoencoder import train_autoencoder
    from sida.forge.diffusion import device_of

    (config,) = (autoencoder for autoencoder in job.config.autoencoders if autoencoder.name == name)
    device = device_of(job.config.device)
    with quiet_process():
        train_autoencoder(config, job.photographs, job.weights / name, job.config.seed, device)
    return name


def _units(count: int) -> dict[int, tuple[str, ...]]:
    """The classes that each unit has: all three, and in the last one what is left."""
    width = len(LABELS)
    return {start // width: LABELS[: count - start] for start in range(0, count, width)}


def _make_units(job: Job, mapper: Mapper | None, progress: Progress) -> None:
    units = _units(job.config.count)
    waiting = [unit for unit in units if not _record(job.out, unit).is_file()]
    finished_count = len(units) - len(waiting)
    progress("units", finished_count, len(units))
    function = partial(_make_one, job)
    if mapper is None:
        count = min(process_count(job.config.workers), max(1, len(waiting)))
        results: Iterable[int] = in_order_or_not(function, waiting, count)
    else:
        results = mapper(function, waiting)
    for _ in results:
        finished_count += 1
        progress("units", finished_count, len(units))


def _record(out: Path, unit: int) -> Path:
    """The file whose existence says that a unit is finished; a thousand in a folder."""
    return out / ".forge" / "units" / f"{unit // 1000:04d}" / f"{unit:06d}.json"


_workshops: list[Any] = []
"""The workshop of this process, if there is one: it keeps models from unit to unit."""


def _make_one(job: Job, unit: int) -> int:
    from sida.forge.unit import make_unit
    from sida.forge.workshop import Workshop

    if not _workshops or _workshops[0].job.key != job.key:
        _workshops[:] = [Workshop(job)]
    with quiet_process():
        # The record comes after the pictures: a unit without one is made again.
        rows = make_unit(_workshops[0], unit, _units(job.config.count)[unit])
    write_text(_record(job.out, unit), json.dumps(rows, ensure_ascii=False))
    return unit


def _finish(job: Job, identity: dict[str, Any]) -> None:
    """Put descriptions and manifest together, the manifest last; then nothing is left to do."""
    rows: list[dict[str, Any]] = []
    for unit in _units(job.config.count):
        rows += json.loads(_record(job.out, unit).read_text(encoding="utf-8"))
    # Units finish in any order; the manifest has one order.
    rows.sort(key=lambda row: (LABELS.index(row["label"]), row["unit"]))
    for label in LABELS:
        texts = {
            Path(row["image"]).name: row["description"] for row in rows if row["label"] == label
        }
        if texts:
            file = job.out / "description" / f"{label}_GT.json"
            write_text(file, json.dumps(texts, ensure_ascii=False, indent=1) + "\n")
    # A manifest marks the run as finished, so nothing but the cleaning comes after it.
    _write_manifest(job.out / "manifest.parquet", rows, identity)
    shutil.rmtree(job.out / ".forge", ignore_errors=True)


_TEXT = (
    "image", "label", "mask", "description", "source", "group", "operation", "parameters",
    "generator", "region", "region_parameters", "object", "donor", "donor_group", "donor_sha256",
    "position", "cues", "original", "original_sha256", "crop", "post_processing", "format",
    "subsampling",
)  # fmt: skip
_NUMBERS = {
    "area": "float64", "scale": "float64", "quality": "int32", "width": "int32", "height": "int32",
    "unit": "int64", "seed": "int64",
}  # fmt: skip


def _write_manifest(path: Path, rows: list[dict[str, Any]], identity: dict[str, Any]) -> None:
    arrow = _parquet()
    columns = {name: arrow.string() for name in _TEXT}
    columns |= {name: getattr(arrow, column_type)() for name, column_type in _NUMBERS.items()}
    schema = arrow.schema(list(columns.items()), {"sida.forge": json.dumps(identity)})
    with write_whole(path) as temporary:
        arrow.parquet.write_table(arrow.Table.from_pylist(rows, schema), temporary)


def _finished(out: Path) -> dict[str, Any] | None:
    """The identity of the finished run in a folder; None where there is none."""
    if not (out / "manifest.parquet").is_file():
        return None
    arrow = _parquet()
    try:
        metadata = arrow.parquet.read_schema(out / "manifest.parquet").metadata or {}
        identity: dict[str, Any] | None = json.loads(metadata.get(b"sida.forge", b"null"))
    except (OSError, ValueError):
        return None
    return identity


def _summary(out: Path) -> Forged:
    arrow = _parquet()
    try:
        table = arrow.parquet.read_table(out / "manifest.parquet", columns=["label", "operation"])
    except (OSError, ValueError) as error:
        raise DataError(f"{str(out)!r} has no readable manifest.parquet: {error}") from error
    labels, operations = table.to_pydict().values()
    label_counts = Counter(labels)
    operation_counts = Counter(name for name in operations if name != "none")
    return Forged(
        out,
        {label: label_counts[label] for label in LABELS},
        dict(sorted(operation_counts.items())),
    )
