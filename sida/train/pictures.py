"""The labelled pictures of a run: for training, and held back for validation."""

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
from sida.train.config import TrainConfig, ValidationMetric
from sida.train.validation import measurable
from sida.verdict import LABELS

__all__ = ["Pictures", "open_training_set", "require_classes", "require_readable"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pictures:
    """Pictures for training and validation.

    Attributes:
        sets: for training, a list for each labelled set.
        held_back: for validation; None where nothing is measured.
    """

    sets: list[list[Sample]]
    held_back: list[Sample] | None

    @classmethod
    def of(cls, config: TrainConfig) -> "Pictures":
        """The pictures that a recipe names.

        Raises:
            DataError: they cannot be read, or lack a class.
            ConfigError: `best` cannot be measured on them.
        """
        if config.best is not None and not config.validation and not config.held_out:
            raise ConfigError(
                f"best={config.best} is measured on other data: add validation=FOLDER, or "
                "held_out=0.2 of what there is."
            )
        sets = [open_training_set(path, config) for path in config.data]
        held_back = None
        if config.validation:
            held_back = [sample for path in config.validation for sample in sida.data.open(path)]
        elif config.held_out:
            sets, held_back = _hold_out(sets, config)
        require_classes([sample for samples in sets for sample in samples])
        if held_back is not None:
            require_readable(held_back)
        if config.best is not None:
            metrics = measurable(held_back or ()) & set(get_args(ValidationMetric))
            if config.best not in metrics:
                paths = ", ".join(map(str, config.validation))
                raise ConfigError(
                    f"best={config.best} cannot be measured on "
                    f"{paths or 'what is held out of the data'}, only "
                    f"{', '.join(sorted(metrics)) or 'nothing'} can."
                )
        return cls(sets, held_back)

    def warn(self, config: TrainConfig) -> None:
        """Log warnings of data by which a good number means less than it seems.

        Pictures on both sides are recognised by their files; rows of parquets are not compared.
        """
        held_back_files = _files(self.held_back or ())
        shared_count = sum(len(held_back_files & _files(samples)) for samples in self.sets)
        if shared_count:
            log.warning(
                "%d pictures are in both the training data and the validation: results on them "
                "only show what the model remembers.",
                shared_count,
            )
        labels = {sample.label for sample in self.held_back or ()}
        missing_labels = [label for label in LABELS if label not in labels]
        if self.held_back is not None and missing_labels:
            log.warning(
                "What is held back has no picture that is %s: nothing is measured of it, and the "
                "model gets no calibration.",
                " or ".join(missing_labels),
            )
        if config.probe:
            leakage = probe(
                list(survey([s for samples in self.sets for s in samples])), config.seed
            )
            if leakage.leaks:
                log.warning("%s", " ".join(leakage.sentences()))


def open_training_set(path: Path, config: TrainConfig) -> list[Sample]:
    """The samples of a labelled set for training, without those that the recipe leaves out.

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
    # Drawn, since a set is often sorted; their order stays that of the set, as without a limit.
    counts = Counter[tuple[str, str | None]]()
    indices = set()
    for index in np.random.default_rng([config.seed, 4]).permutation(len(samples)):
        key = samples[index].label, samples[index].source
        if counts[key] < config.source_limit:
            counts[key] += 1
            indices.add(int(index))
    return [samples[index] for index in sorted(indices)]


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
    return {s.picture.resolve() for s in samples if isinstance(s.picture, Path)}


def _hold_out(
    sets: Sequence[Sequence[Sample]], config: TrainConfig
) -> tuple[list[list[Sample]], list[Sample]]:
    """Split the sets by original into pictures for training and those held back.

    An original may be in several sets, as where one was forged out of another.
    """
    shares = {"data": 1 - config.held_out, "held_out": config.held_out}
    numbered = [(i, sample) for i, samples in enumerate(sets) for sample in samples]
    # A prefix to the names, which two sets may have in common, and by which a split is assigned.
    prefixed = [replace(sample, name=f"{i}/{sample.name}") for i, sample in numbered]
    splits = assign_splits(prefixed, shares, config.seed)
    training: list[list[Sample]] = [[] for _ in sets]
    held_back = []
    for (i, sample), split in zip(numbered, splits, strict=True):
        if split == "data":
            training[i].append(sample)
        else:
            held_back.append(sample)
    return training, held_back
