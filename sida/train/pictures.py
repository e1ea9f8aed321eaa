"""The labelled pictures of a run: to learn from, and held back."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sida.data
from sida.data.leakage import probe
from sida.data.sample import Sample
from sida.data.splitting import assign_splits
from sida.data.traits import survey
from sida.errors import ConfigError, DataError
from sida.train.config import TrainConfig
from sida.train.validation import measurable
from sida.verdict import LABELS

__all__ = ["Pictures", "require_classes"]

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
        if config.best is not None and config.validation is None and not config.held_out:
            raise ConfigError(
                f"best={config.best} is measured on other data: add validation=FOLDER, or "
                "held_out=0.2 of what there is."
            )
        sets = [list(sida.data.open(path)) for path in config.data]
        held_back = None
        if config.validation is not None:
            held_back = list(sida.data.open(config.validation))
        elif config.held_out:
            sets, held_back = _held_out(sets, config)
        require_classes([sample for samples in sets for sample in samples])
        if config.best is not None:
            known = measurable(held_back or ())
            if config.best not in known:
                place = config.validation or "what is held out of the data"
                raise ConfigError(
                    f"best={config.best} cannot be measured on {place}, only "
                    f"{', '.join(sorted(known - {'count'})) or 'nothing'} can."
                )
        return cls(sets, held_back)

    def warn(self, config: TrainConfig) -> None:
        """Log what makes a good number mean less than it seems."""
        held = {each.picture for each in self.held_back or () if isinstance(each.picture, Path)}
        both = sum(each.picture in held for samples in self.sets for each in samples)
        if both:
            log.warning(
                "%d pictures are in the data and in the validation: what is measured on them "
                "says what the model remembers.",
                both,
            )
        if config.probe:
            leakage = probe(list(survey([s for each in self.sets for s in each])), config.seed)
            if leakage.leaks:
                log.warning("%s", " ".join(leakage.sentences()))


def require_classes(samples: Sequence[Sample]) -> None:
    """Raise DataError where a class is missing."""
    for label in LABELS:
        if not any(sample.label == label for sample in samples):
            raise DataError(
                f"The data hold no {label} picture; training needs all of {', '.join(LABELS)}."
            )


def _held_out(
    sets: Sequence[Sequence[Sample]], config: TrainConfig
) -> tuple[list[list[Sample]], list[Sample]]:
    """A share of the originals of each set goes to the pictures that are held back."""
    shares = {"data": 1 - config.held_out, "held_out": config.held_out}
    kept, held_back = [], []
    for samples in sets:
        splits = assign_splits(samples, shares, config.seed)
        pairs = list(zip(samples, splits, strict=True))
        kept.append([sample for sample, split in pairs if split == "data"])
        held_back += [sample for sample, split in pairs if split == "held_out"]
    return kept, held_back
