"""`BudgetCalibration`: scores of real photographs, and the threshold of a budget of false alarms.

`sida calibrate` writes one; that of a model lies beside its weights as `budget.json`.
"""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sida.errors import ConfigError, InputError
from sida.files import write_text
from sida.model.conformal import smallest_count, threshold
from sida.verdict import Budget, Fraction

__all__ = ["FILE", "BudgetCalibration", "read_calibration", "require_calibration"]

FILE = "budget.json"
DIGITS = 6
Scores = Annotated[tuple[Fraction, ...], Field(min_length=1)]


class BudgetCalibration(BaseModel):
    """Scores (1 - P(real)) of real photographs that training never saw, bound to one model.

    Attributes:
        set: the name of their set.
        digest: of the weights that gave the scores.
        fast: as of `ModelOptions`: other windows give other scores.
        scores: for each delivery (as the photographs are, or as in `sida.image.deliveries`), from
            the smallest to the largest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    schema_id: Literal["sida.budget/1"] = Field("sida.budget/1", alias="schema")
    set: str
    digest: str
    fast: bool = False
    scores: Mapping[str, Scores] = Field(min_length=1)

    @field_validator("scores")
    @classmethod
    def _sorted(cls, scores: Mapping[str, tuple[float, ...]]) -> Mapping[str, tuple[float, ...]]:
        if any(list(values) != sorted(values) for values in scores.values()):
            raise ValueError("scores are not in order")
        return scores

    @classmethod
    def of(
        cls, set: str, digest: str, scores: Mapping[str, Iterable[float]], fast: bool = False
    ) -> "BudgetCalibration":
        """The calibration of scores in any order, rounded to what the file holds."""
        # Up: a threshold that is a little too high promises the same, one too low promises more.
        ordered = {
            name: tuple(math.ceil(score * 10**DIGITS) / 10**DIGITS for score in sorted(values))
            for name, values in scores.items()
        }
        return cls(set=set, digest=digest, fast=fast, scores=ordered)

    @property
    def photographs(self) -> int:
        """The fewest scores of any delivery: a small photograph, once halved, may have none."""
        return min(map(len, self.scores.values()))

    def budget(self, max_false_positives: float) -> Budget:
        """The budget with its threshold, the highest over all deliveries.

        Nobody knows how a picture came here, and so the promise is kept for each delivery.

        Raises:
            ConfigError: there are too few photographs for so small a share.
        """
        needed = smallest_count(max_false_positives)
        if self.photographs < needed:
            raise ConfigError(
                f"{self.photographs} real photographs cannot promise a share of "
                f"{max_false_positives:g}: it takes at least {needed}; ask for "
                f"{self.smallest_budget:g} or more, or run `sida calibrate` on more of them."
            )
        highest = max(threshold(values, max_false_positives) for values in self.scores.values())
        return Budget(
            max_false_positives=max_false_positives,
            threshold=highest,
            photographs=self.photographs,
            set=self.set,
        )

    @property
    def smallest_budget(self) -> float:
        """The smallest share that so many photographs can promise, rounded up to two digits."""
        smallest = 1 / (self.photographs + 1)
        unit = 10.0 ** (math.floor(math.log10(smallest)) - 1)
        return math.ceil(smallest / unit - 1e-9) * unit

    def require(self, digest: str, fast: bool = False) -> None:
        """Raise ConfigError where the scores are those of other weights, or of other windows."""
        if self.digest != digest:
            raise ConfigError(
                f"The calibration on {self.set} is of other weights ({self.digest[:12]}) than the "
                f"model's ({digest[:12]}): run `sida calibrate` with this model."
            )
        if self.fast != fast:
            raise ConfigError(
                f"The calibration on {self.set} was made {'with' if self.fast else 'without'} "
                "--fast, which changes scores: do the same here, or run `sida calibrate` again."
            )

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        # A line for each field: a few hundred scores, one a line, would be no easier to read.
        fields = self.model_dump(mode="json").items()
        lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in fields]
        write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")

    @classmethod
    def parse(cls, text: str, name: str) -> "BudgetCalibration":
        """The calibration of a file's text. Raises ConfigError where it is none."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "the file"
            raise ConfigError(
                f"{name} is not a calibration of budgets ({field}: {first['msg']}): give a file "
                "that `sida calibrate` has written."
            ) from error

    @classmethod
    def load(cls, folder: Path, digest: str) -> "BudgetCalibration | None":
        """The calibration beside these weights; None where there is none, or of other weights.

        Raises:
            ConfigError: the file is there, but is no calibration.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        stored = cls.parse(path.read_text(encoding="utf-8"), str(path))
        return stored if stored.digest == digest else None


def choose_calibration(
    text: str | None, stored: BudgetCalibration | None, digest: str, fast: bool
) -> BudgetCalibration | None:
    """The calibration of a file's text where there is one, else that of the model's own folder.

    Raises:
        ConfigError: the text is none, or one of other weights or windows.
    """
    if text is None:
        # Other windows give other scores; without a calibration for them there is no budget.
        return None if stored is None or stored.fast != fast else stored
    calibration = BudgetCalibration.parse(text, "The calibration")
    calibration.require(digest, fast)
    return calibration


def require_calibration(calibration: BudgetCalibration | None, model: str) -> BudgetCalibration:
    """The calibration of the model of that name. Raises ConfigError where it has none."""
    if calibration is None:
        raise ConfigError(
            f"{model} has no calibration for a budget of false accusations: make one of real "
            "photographs with `sida calibrate FOLDER --model MODEL --out calibration.json`, MODEL "
            "as it is given here, and give it with --calibration."
        )
    return calibration


def read_calibration(path: str | Path) -> str:
    """The text of a file of `sida calibrate`, for `ModelOptions.calibration`.

    Raises:
        InputError: it cannot be read.
        ConfigError: it is no such file.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError(f"the calibration {str(path)!r} cannot be read: {reason}") from error
    BudgetCalibration.parse(text, str(path))
    return text
