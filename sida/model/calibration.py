"""From class logits to probabilities that can be relied on; the file lies beside the weights."""

import logging
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sida.errors import CheckpointError
from sida.files import write_text
from sida.verdict import Fraction

__all__ = ["Calibration", "mask_limit"]

log = logging.getLogger(__name__)

FILE = "calibration.json"
STRONGEST = 16
"""A mask's limit may be relative to the strongest pixels: one in so many."""


class Calibration(BaseModel):
    """Class scaling, mask threshold and the band of "inconclusive", bound to one set of weights.

    Attributes:
        scale: factor for each class logit.
        bias: added to each scaled logit.
        mask_threshold: what the network says of a pixel, as a probability, where it is as likely
            altered as not; `pixels` makes 0.5 of it.
        mask_relative: this share of the mean probability of a picture's strongest pixels takes the
            place of `mask_threshold` where it is more; 0 where it does not matter. Networks mark
            the right place with less certainty on pictures unlike those that they learned from.
        unsure_below: for each label, the probability of it below which a verdict is inconclusive.
        digest: of the weights that it was fitted to; None where nothing was fitted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    mask_threshold: float = Field(0.5, gt=0, lt=1)
    mask_relative: float = Field(0.0, ge=0, lt=1)
    unsure_below: tuple[Fraction, Fraction, Fraction] = (0.0, 0.0, 0.0)
    digest: str | None = None

    @property
    def fitted(self) -> bool:
        """True where this was fitted on data, and is not only the network's own softmax."""
        return self.digest is not None

    def probabilities(self, class_logits: np.ndarray) -> np.ndarray:
        """Logits (…, 3) -> probabilities (…, 3) float64 that sum to 1."""
        # In float64: a verdict's probabilities must sum to 1 within 1e-6.
        scaled = np.asarray(class_logits, np.float64) * self.scale + self.bias
        powers = np.exp(scaled - scaled.max(-1, keepdims=True))
        return np.asarray(powers / powers.sum(-1, keepdims=True))

    def pixels(self, mask_logits: np.ndarray) -> np.ndarray:
        """Mask logits of a picture (height, width) -> probabilities (height, width) float32.

        A pixel above 0.5 counts as altered.
        """
        shifted = mask_logits - mask_limit(mask_logits, self.mask_threshold, self.mask_relative)
        # Within 60, as exp overflows float32 beyond 88; such a pixel is decided anyhow.
        return np.asarray(1 / (1 + np.exp(-shifted.clip(-60, 60))), np.float32)

    def inconclusive(self, probabilities: np.ndarray) -> bool:
        """True where the largest of these probabilities (3,) is too small to be relied on."""
        label = int(probabilities.argmax())
        return self.fitted and bool(probabilities[label] < self.unsure_below[label])

    def save(self, folder: Path) -> None:
        """Write `calibration.json`, whole or not at all."""
        write_text(folder / FILE, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path, digest: str) -> "Calibration":
        """The calibration of these weights; the identity where there is none, or of other weights.

        Raises:
            CheckpointError: the file is there, but is not a calibration.
        """
        path = folder / FILE
        if not path.is_file():
            return cls()
        try:
            stored = cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise CheckpointError(
                f"{path} is not a calibration ({error.errors()[0]['msg']}): delete it, and "
                "probabilities are given as they come from the network."
            ) from error
        if stored.digest == digest:
            return stored
        log.warning(
            "%s was fitted to other weights than lie beside it, and is left out: verdicts are not "
            "calibrated, and none is called inconclusive. Copy the folder again, or delete the "
            "file.",
            path,
        )
        return cls()


def mask_limit(mask_logits: np.ndarray, threshold: float, relative: float) -> float:
    """Logit above which a pixel of a picture counts as altered.

    Args:
        mask_logits: (height, width).
        threshold, relative: as `mask_threshold` and `mask_relative` of a calibration.
    """
    if relative:
        count = max(1, mask_logits.size // STRONGEST)
        strongest = np.partition(mask_logits, -count, axis=None)[-count:].clip(-60, 60)
        threshold = max(threshold, relative * float((1 / (1 + np.exp(-strongest))).mean()))
    return float(np.log(threshold / (1 - threshold)))
