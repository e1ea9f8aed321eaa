"""Adapting a model to a user's own pictures: features once, a correction of the logits, a check.

The encoder stays as it is, and so do the weights behind it; what is written is a small adapter that
names the model it stands on. Own pictures are measured in folds by original, each by a correction
that did not learn from it; the model's check set says what it costs elsewhere.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

import sida.data
from sida import __version__
from sida.data.sample import Sample
from sida.data.writing.splitting import assign_splits
from sida.errors import ConfigError, DataError
from sida.files import require_new, write_folder, write_text
from sida.inference.device import resolve, use_native_bfloat16
from sida.model.adapter import FILE as ADAPTER
from sida.model.adapter import Adapter, save_adapter, split_name
from sida.model.calibration import Calibration
from sida.model.checkpoint import Loaded, find, load
from sida.train.calibration_fit import unsure_below
from sida.train.class_features import ClassFeatures, FeatureReader
from sida.train.correction import fit_correction, relative_penalties
from sida.train.folds import HeadPredictions, compare
from sida.train.replay import Replay, load_replay
from sida.train.stop_request import StopRequest
from sida.verdict import LABELS

__all__ = [
    "AdaptOptions",
    "Adaptation",
    "AdaptationReport",
    "BeforeAndAfter",
    "adapt",
]

log = logging.getLogger(__name__)

REPORT = "adaptation.json"
MIN_PICTURES = 20
"""Fewer say too little about pictures that are not among them."""
MAX_LOSS = 0.02
"""Of balanced accuracy on the check set, by default."""

OnStage = Callable[[str, int, int | None], None]
"""Takes the title of a stage, how much is done, and of how much."""


@dataclass(frozen=True)
class AdaptOptions:
    """Pictures to learn from, the model, and how much of what it knew may be lost.

    Attributes:
        data: labelled sets, in any form that `sida.data.open` takes.
        model: a name or a folder; adapters stand on whole weights.
        known: a labelled set of pictures that the model is to stay right about; without one those
            that come with the model.
        max_loss: balanced accuracy that may be lost on the check set.
        cache: folder for features; the user's cache folder by default.
        device: as `Detector.load` takes it.
        seed: of the folds.
    """

    data: Sequence[str | Path]
    model: str = "small"
    known: str | Path | None = None
    max_loss: float = MAX_LOSS
    cache: Path | None = None
    device: str = "auto"
    seed: int = 0


class Interval(BaseModel):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class BeforeAndAfter(BaseModel):
    """Figures of the base and of the adapted model on the same pictures.

    Attributes:
        count: pictures of each class.
        balanced_accuracy: `base`, `adapter`, and their `difference`.
        recalls: of each class that occurs, by `base` and by `adapter`.
    """

    count: dict[str, int]
    balanced_accuracy: dict[str, Interval]
    recalls: dict[str, dict[str, float]]

    @property
    def change(self) -> Interval:
        """Gain of balanced accuracy; negative where something was lost."""
        return self.balanced_accuracy["difference"]


class AdaptationReport(BaseModel):
    """Content of `adaptation.json`.

    Attributes:
        sida: version of the package.
        base: name of the model that was adapted, and `base_digest` of its weights.
        digest: of the adapted model.
        data: sets that were learned.
        penalty: strength that was chosen.
        own: on the pictures that were learned, each held out of the fit that judges it.
        known: on the check set.
        max_loss: balanced accuracy that was allowed to be lost there.
        accepted: True where no more was lost.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    schema_id: Literal["sida.adaptation/1"] = Field("sida.adaptation/1", alias="schema")
    sida: str
    base: str
    base_digest: str
    digest: str
    data: list[str]
    penalty: float
    own: BeforeAndAfter
    known: BeforeAndAfter
    max_loss: float
    accepted: bool


class Adaptation(NamedTuple):
    """The correction with the name and the digest of its base, and what was measured of it."""

    adapter: Adapter
    report: AdaptationReport


def adapt(
    options: AdaptOptions, out: Path, on_stage: OnStage = lambda title, count, total: None
) -> Adaptation:
    """Learn from labelled pictures; where the model stays as good as it was elsewhere, write it.

    `out` becomes a folder that `Detector.load` takes, with the adapter and `adaptation.json`. An
    adaptation that is not accepted leaves nothing there.

    Raises:
        DataError: there are fewer than 20 pictures or two classes, or a class has one original.
        ConfigError: the model has an adapter already, or no known pictures.
        CheckpointError: the model, or what comes with it, cannot be read.
        SidaError: `out` is there already, or cannot be written.
    """
    require_new(out)
    if split_name(options.model)[1] is not None:
        raise ConfigError(
            f"{options.model} is adapted already, and an adaptation stands on whole weights: give "
            f"--model {split_name(options.model)[0]}, and the pictures of both together."
        )
    samples = _open(options.data)
    _require(sample.label for sample in samples)
    device, dtype = resolve(options.device, "auto")
    base = load(options.model, device, dtype)
    use_native_bfloat16(base.model, "auto")
    with StopRequest() as stop:
        reader = FeatureReader(base, options.cache or FeatureReader.default_folder(), stop)
        replay = _replay(options, base, reader, on_stage)  # a model without is refused at once
        own = reader.read(options.data, samples, _stage(on_stage, "Reading pictures"))
        _require(LABELS[label] for label in own.labels)
    if len(np.unique(own.groups)) == len(own.groups):
        log.info(
            "No two pictures share an original (column `group` in a manifest): if some are of one "
            "scene, the figures of your pictures are too good."
        )
    fitted = fit_correction(
        own,
        replay.learned,
        base.calibration,
        relative_penalties(base.model),
        options.seed,
        _stage(on_stage, "Fitting"),
    )
    correction = fitted.correction
    tensors = {"correction.weight": correction.weight, "correction.bias": correction.bias}
    bare = Adapter(_reference(options.model), base.digest, tensors)
    own_after, check_after = fitted.held_out_logits, correction.logits(replay.check)
    calibration = _calibration(
        base.calibration,
        bare.digest,
        np.concatenate([own_after, check_after]),
        np.concatenate([own.labels, replay.check.labels]),
    )
    known = _compare(base.calibration, replay.check, check_after)
    report = AdaptationReport(
        sida=__version__,
        base=base.name,
        base_digest=base.digest,
        digest=bare.digest,
        data=[str(path) for path in options.data],
        penalty=fitted.penalty,
        own=_compare(base.calibration, own, own_after),
        known=known,
        max_loss=options.max_loss,
        accepted=known.change.value >= -options.max_loss,
    )
    adaptation = Adaptation(replace(bare, calibration=calibration), report)
    if report.accepted:
        with write_folder(out) as folder:
            save_adapter(folder / ADAPTER, adaptation.adapter)
            write_text(folder / REPORT, report.model_dump_json(indent=1) + "\n")
    return adaptation


def _open(paths: Sequence[str | Path]) -> list[Sample]:
    """All samples, with names that two sets cannot have in common."""
    return [
        replace(sample, name=str(Path(path) / sample.name))
        for path in paths
        for sample in sida.data.open(path)
    ]


def _require(labels: Iterable[str]) -> None:
    """Raise DataError where there are too few pictures, or they are all of one class."""
    counts = Counter(labels)
    if len(counts) == 1:
        raise DataError(
            f"All pictures are {next(iter(counts))}: an adaptation needs two classes at least of "
            f"{', '.join(LABELS)}; add pictures of another one."
        )
    if counts.total() < MIN_PICTURES:
        raise DataError(
            f"{counts.total() or 'No'} pictures can be used, expected at least {MIN_PICTURES} of "
            "two classes or three: add more."
        )


def _stage(on_stage: OnStage, title: str) -> Callable[[int, int], None]:
    return lambda count, total: on_stage(title, count, total)


def _replay(
    options: AdaptOptions, base: Loaded, reader: FeatureReader, on_stage: OnStage
) -> Replay:
    """Known pictures to learn again and to check with."""
    if options.known is None:
        replay = load_replay(find(options.model), base.digest)
        if replay is None:
            raise ConfigError(
                f"{options.model} comes without pictures that it knows, and what it would forget "
                "cannot be measured: name a labelled set of such pictures with --known."
            )
        return replay
    samples = _open([options.known])
    # By names within the set, so that another path to it gives the same parts.
    named = list(sida.data.open(options.known))
    splits = np.array(assign_splits(named, {"learned": 0.5, "check": 0.5}, options.seed))
    parts = [
        reader.read(
            [options.known],
            [samples[i] for i in np.flatnonzero(splits == name)],
            _stage(on_stage, f"Reading known pictures, {name}"),
        )
        for name in Replay._fields
    ]
    for part in parts:
        originals = [len(np.unique(part.groups[part.labels == i])) for i in range(len(LABELS))]
        if min(originals) < 2:  # as many folds as can be made need two
            raise DataError(
                f"{str(options.known)!r} needs four originals at least of each of "
                f"{', '.join(LABELS)} that can be read, two to learn again and two to check: add "
                "pictures."
            )
    return Replay(*parts)


def _reference(model: str) -> str:
    """A model's name by which it is found from any folder."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def _calibration(
    base: Calibration, digest: str, logits: np.ndarray, labels: np.ndarray
) -> Calibration:
    """The base's for the adapted weights, with new bounds of "inconclusive".

    Its scaling stays, as the correction was fitted behind it, and so do masks. Bounds are of
    pictures that the correction was not fitted to.
    """
    if not base.fitted:
        return base
    bounds = unsure_below(base.probabilities(logits), labels)
    return base.model_copy(update={"unsure_below": bounds, "digest": digest})


def _compare(
    calibration: Calibration, pictures: ClassFeatures, after: np.ndarray
) -> BeforeAndAfter:
    """Figures of both models on pictures; `after` are corrected logits."""
    before, adapted = (
        HeadPredictions.calibrated(calibration, logits, pictures)
        for logits in (pictures.logits.numpy(), after)
    )
    counts = Counter(LABELS[label] for label in pictures.labels)
    figures = {"count": {label: counts[label] for label in LABELS}, **compare(before, adapted)}
    return BeforeAndAfter.model_validate(figures)
