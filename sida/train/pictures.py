"""The labelled pictures of a run: to learn from, and held back."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np

import sida.data
from sida.data.checks.leakage import probe
from sida.data.checks.traits import survey
from sida.data.sample import Sample
from sida.data.writing.splitting import assign_splits
from sida.errors import ConfigError, DataError, PictureError
from sida.train.config import Metric, TrainConfig
from sida.train.validation import measurable
from sida.verdict import LABELS

__all__ = ["Pictures", "learned_from", "require_classes", "require_readable"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pictures:
    """What a run learns from, and what it is measured on.

    Attributes:
        sets: one a labelled set.
        held_back: None where nothing is measured.
    """

    sets: list[list[Sample]]
    held_back: list[Sample] | None

    @classmethod
    def of(cls, config: TrainConfig) -> "Pictures":
        """Those that a recipe names.

        Raises:
            DataError: they cannot be read, or lack a class.
            ConfigError: they cannot tell what `best` is.
        """
        if config.best is not None and not config.validation and not config.held_out:
            raise ConfigError(
                f"best={config.best} is measured on other data: add validation=FOLDER, or "
                "held_out=0.2 of what there is."
            )
        sets = [learned_from(path, config) for path in config.data]
        held_back = None
        if config.validation:
            held_back = [sample for path in config.validation for sample in sida.data.open(path)]
        elif config.held_out:
            sets, held_back = _held_out(sets, config)
        require_classes([sample for samples in sets for sample in samples])
        if held_back is not None:
            require_readable(held_back)
        if config.best is not None:
            known = measurable(held_back or ()) & set(get_args(Metric))
            if config.best not in known:
                named = ", ".join(map(str, config.validation))
                place = named or "what is held out of the data"
                raise ConfigError(
                    f"best={config.best} cannot be measured on {place}, only "
                    f"{', '.join(sorted(known)) or 'nothing'} can."
                )
        return cls(sets, held_back)

    def warn(self, config: TrainConfig) -> None:
        """Log what makes a good number mean less than it seems.

        Pictures that are on both sides are told by their files; rows of parquets are not compared.
        """
        held = _files(self.held_back or ())
        both = sum(len(held & _files(samples)) for samples in self.sets)
        if both:
            log.warning(
                "%d pictures are in the data and in the validation: what is measured on them "
                "says what the model remembers.",
                both,
            )
        lacks = [x for x in LABELS if x not in {each.label for each in self.held_back or ()}]
        if self.held_back is not None and lacks:
            log.warning(
                "What is held back has no picture that is %s: nothing is measured of it, and the "
                "model gets no calibration.",
                " or ".join(lacks),
            )
        if config.probe:
            leakage = probe(list(survey([s for each in self.sets for s in each])), config.seed)
            if leakage.leaks:
                log.warning("%s", " ".join(leakage.sentences()))


def learned_from(path: Path, config: TrainConfig) -> list[Sample]:
    """The samples of a labelled set that a run learns from.

    Raises:
        DataError: it cannot be read.
    """
    samples = [
        sample
        for sample in sida.data.open(path)
        if sample.source not in config.leave_out and sample.group not in config.leave_out
    ]
    if config.source_limit is None:
        return samples
    counts = Counter[tuple[str, str | None]]()
    chosen = set()
    for index in np.random.default_rng([config.seed, 4]).permutation(len(samples)):
        key = samples[index].label, samples[index].source
        if counts[key] < config.source_limit:
            counts[key] += 1
            chosen.add(int(index))
    return [samples[index] for index in sorted(chosen)]


def require_classes(samples: Sequence[Sample]) -> None:
    """Raise DataError where a class is missing."""
    for label in LABELS:
        if not any(sample.label == label for sample in samples):
            raise DataError(
                f"The data hold no {label} picture; training needs all of {', '.join(LABELS)}."
            )


def require_readable(samples: Sequence[Sample]) -> None:
    """Raise DataError where none of the pictures for validation can be read."""
    for sample in samples:
        try:
            sample.read()
        except PictureError:
            continue
        return
    raise DataError("No picture for validation can be read.")


def _files(samples: Sequence[Sample]) -> set[Path]:
    return {each.picture.resolve() for each in samples if isinstance(each.picture, Path)}


def _held_out(
    sets: Sequence[Sequence[Sample]], config: TrainConfig
) -> tuple[list[list[Sample]], list[Sample]]:
    """A share of the originals goes to the pictures that are held back.

    An original may be in several sets, as where one was forged out of another.
    """
    shares = {"data": 1 - config.held_out, "held_out": config.held_out}
    numbered = [(i, sample) for i, samples in enumerate(sets) for sample in samples]
    named = [replace(sample, name=f"{i}/{sample.name}") for i, sample in numbered]
    splits = assign_splits(named, shares, config.seed)
    kept: list[list[Sample]] = [[] for _ in sets]
    held_back = []
    for (i, sample), split in zip(numbered, splits, strict=True):
        if split == "data":
            kept[i].append(sample)
        else:
            held_back.append(sample)
    return kept, held_back
