"""Verdict, Failure and their parts: the JSON contract `sida.verdict/1`, and nothing else.

Rooms to the right hand each other results in these types alone. They are frozen and checked when
built; their JSON is what `model_dump_json()` prints, with the fields in the order of the contract.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from sida.errors import FailureCode, InputError
from sida.image.arrays import altered_pixels
from sida.image.components import components
from sida.image.deliveries import DELIVERIES
from sida.image.geometry import Box, Position, position_of
from sida.image.overlay import heat_map, outlined, overlay, save_png, side_by_side
from sida.image.read import read_mask, read_picture

__all__ = [
    "LABELS",
    "Budget",
    "Claim",
    "Declared",
    "DeliveryVerdict",
    "Evidence",
    "Explanation",
    "Failure",
    "Fraction",
    "Inconsistencies",
    "Inspection",
    "Label",
    "Localization",
    "Measured",
    "ModelInfo",
    "Probabilities",
    "Provenance",
    "Region",
    "Stability",
    "Verdict",
    "WindowEvidence",
    "parse_line",
    "regions_from_mask",
]

Label = Literal["real", "full_synthetic", "tampered"]
LABELS: tuple[Label, ...] = get_args(Label)

Fraction = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    """Frozen. Unknown keys are passed over: `predictions.jsonl` adds some to a verdict's line."""

    model_config = ConfigDict(
        frozen=True, serialize_by_alias=True, validate_by_name=True, allow_inf_nan=False
    )


class Probabilities(_Part):
    """Probabilities of the classes, which sum to 1; `probabilities["tampered"]` reads by name."""

    real: Fraction
    full_synthetic: Fraction
    tampered: Fraction

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.real + self.full_synthetic + self.tampered
        if abs(total - 1) > 1e-6:
            raise ValueError(f"probabilities sum to {total:.7f}, expected 1 within 1e-6")
        return self

    def __getitem__(self, label: str) -> float:
        if label not in LABELS:
            raise KeyError(f"{label!r} is not a label; the labels are {', '.join(LABELS)}")
        return float(getattr(self, label))

    def items(self) -> list[tuple[Label, float]]:
        """(label, probability) in the order of `LABELS`."""
        return [(label, self[label]) for label in LABELS]


class Budget(_Part):
    """The stated share of real photographs that may be called altered or generated.

    The score of a picture is `1 - probabilities.real`. `threshold` is the highest that keeps the
    promise of `max_false_positives` on the real photographs of `set`, of which there were
    `photographs`; see `sida.model.conformal`.
    """

    max_false_positives: Annotated[float, Field(gt=0, lt=1)]
    threshold: Fraction
    photographs: PositiveInt
    set: str

    def exceeded(self, probability_of_real: float) -> bool:
        """True where fewer real photographs than the budget allows look so little like one."""
        return 1 - probability_of_real > self.threshold

    def decide(self, probabilities: Sequence[float], unsure: bool) -> tuple[Label, bool]:
        """Label and `inconclusive` under the budget.

        A picture above the threshold is called by the likelier of the other two classes, also where
        real is as likely. One below it is real where the model states so without a budget, and
        else inconclusive.

        Args:
            probabilities: of the labels, in their order.
            unsure: the model's own rule calls the verdict inconclusive.
        """
        largest = max(range(len(LABELS)), key=lambda number: probabilities[number])
        if not self.exceeded(probabilities[0]):
            return LABELS[largest], unsure or LABELS[largest] != "real"
        _, synthetic, tampered = probabilities
        return "full_synthetic" if synthetic >= tampered else "tampered", False


class Region(_Part):
    """An altered region: `area` as a fraction of the picture, `score` the mean probability."""

    box: Box
    area: Fraction
    score: Fraction
    position: Position


class Localization(_Part):
    """The mask in numbers; the JSON calls it `mask`. `file` is where it was written, if it was."""

    area: Fraction
    threshold: Fraction
    file: str | None = None
    regions: tuple[Region, ...] = ()


class WindowEvidence(_Part):
    """A window of the picture, and what the verdict would be, were all of it like this window."""

    box: Box
    position: Position
    probabilities: Probabilities


class Evidence(_Part):
    """How parts of the picture spoke for the verdict; `file` is where it was drawn, if it was."""

    windows: tuple[WindowEvidence, ...]
    file: str | None = None


class DeliveryVerdict(_Part):
    """The verdict on one delivery of the picture; see `sida.image.deliveries`.

    `held` is true where it comes to the same as that on the picture itself: the same label, both
    stated; or both inconclusive, whatever the labels. `unsuitable` says why the picture should not
    be judged as it is delivered.
    """

    name: str
    label: Label
    probabilities: Probabilities
    inconclusive: bool
    unsuitable: str | None = Field(None, exclude_if=lambda value: value is None)
    held: bool

    @property
    def title(self) -> str:
        """The name for people, such as "JPEG 50"."""
        return DELIVERIES[self.name].title if self.name in DELIVERIES else self.name

    @property
    def phrase(self) -> str:
        """The verdict in a word or two: inconclusive, or the label."""
        return "inconclusive" if self.inconclusive else self.label.replace("full_", "fully ")


class Stability(_Part):
    """The number of deliveries, out of all, in which the verdict holds."""

    held: NonNegativeInt
    of: PositiveInt
    deliveries: tuple[DeliveryVerdict, ...]

    @model_validator(mode="after")
    def _counts_are_those_of_the_deliveries(self) -> Self:
        counts = sum(delivery.held for delivery in self.deliveries), len(self.deliveries)
        if (self.held, self.of) != counts:
            raise ValueError(
                f"held is {self.held} of {self.of}, expected those of the deliveries, "
                f"{counts[0]} of {counts[1]}"
            )
        return self

    @classmethod
    def among(cls, deliveries: Iterable[DeliveryVerdict]) -> "Stability":
        """The stability that some deliveries amount to."""
        verdicts = tuple(deliveries)
        held = sum(delivery.held for delivery in verdicts)
        return cls(held=held, of=len(verdicts), deliveries=verdicts)

    @property
    def stable(self) -> bool:
        """True where the verdict holds in more than half of the deliveries."""
        return 2 * self.held > self.of

    @property
    def sentence(self) -> str:
        """The numbers, and what each delivery makes of the verdict that does not hold in it."""
        same = any(delivery.held and delivery.inconclusive for delivery in self.deliveries)
        verb = "Stays inconclusive" if same else "Holds"
        if self.held == self.of:
            return f"{verb} in all {self.of} deliveries."
        changed: dict[str, list[str]] = {}
        for delivery in self.deliveries:
            if not delivery.held:
                changed.setdefault(delivery.phrase, []).append(delivery.title)
        changes = [
            f"{_enumerated(titles)} {'makes' if len(titles) == 1 else 'make'} it {phrase}"
            for phrase, titles in changed.items()
        ]
        return f"{verb} in {self.held or 'none'} of {self.of} deliveries; {', '.join(changes)}."


def _enumerated(words: Sequence[str]) -> str:
    """Words as in a sentence: a, b and c."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


class Claim(_Part):
    """Something measured that the text leans on: the same cue inside the mask and outside it."""

    cue: str
    inside: float
    outside: float
    text: str


class Inconsistencies(_Part):
    """The four headings of the published explanation; None where the text does not have it."""

    lighting: str | None = None
    edges: str | None = None
    resolution: str | None = None
    shadows: str | None = None


class Explanation(_Part):
    """Generated text and its parts; `complete` is False where generation was cut short."""

    text: str
    type: str | None = None
    areas: str | None = None
    content: str | None = None
    inconsistencies: Inconsistencies = Inconsistencies()
    claims: tuple[Claim, ...] = ()
    complete: bool


class Declared(_Part):
    """A declaration of the file; `trusted_by` is the list on which its signer's issuer is."""

    name: str
    value: JsonValue
    source: str
    state: str
    trusted_by: str | None = Field(None, exclude_if=lambda value: value is None)


class Measured(_Part):
    """A measurement in the file, with its meaning and its limits."""

    name: str
    value: JsonValue
    unit: str | None
    meaning: str
    limits: str
    source: str


class Provenance(_Part):
    """Declarations and measurements of a file's origin; no verdict depends on them.

    `left_out` names the statements that are left out, as they lead to a person.
    """

    declared: tuple[Declared, ...] = ()
    measured: tuple[Measured, ...] = ()
    contradictions: tuple[str, ...] = ()
    left_out: tuple[str, ...] = Field((), exclude_if=lambda value: not value)


def _from_text(value: Any) -> Any:
    """A table has a provenance as JSON in one column, as its values are of any kind."""
    return Provenance.model_validate_json(value) if isinstance(value, str) else value


class Inspection(_Part):
    """A line of `sida inspect --json`: the provenance of one file."""

    schema_id: Literal["sida.provenance/1"] = Field("sida.provenance/1", alias="schema")
    image: str | None = None
    sha256: str | None = None
    declared: tuple[Declared, ...] = ()
    measured: tuple[Measured, ...] = ()
    contradictions: tuple[str, ...] = ()
    left_out: tuple[str, ...] = Field((), exclude_if=lambda value: not value)


class ModelInfo(_Part):
    """The weights that judged; `digest` is theirs."""

    name: str
    version: str
    digest: str


class Failure(_Part):
    """A picture that could not be judged: `sida.failure/1`."""

    schema_id: Literal["sida.failure/1"] = Field("sida.failure/1", alias="schema")
    image: str | None = None
    error: FailureCode
    message: str


class Verdict(_Part):
    """The result for one picture: label, probabilities, where it was altered, and why.

    `mask`, `probability_map` and `evidence_map` are arrays in the original's pixels and no part of
    the JSON.
    Raises pydantic's `ValidationError` (a `ValueError`) where probabilities do not sum to 1 within
    1e-6, the label is not the largest of them (above the threshold of a budget: the largest but
    real), or a box leaves the picture.
    """

    schema_id: Literal["sida.verdict/1"] = Field("sida.verdict/1", alias="schema")
    image: str | None = None
    sha256: str | None = None
    width: PositiveInt
    height: PositiveInt
    format: str | None = None
    label: Label
    probabilities: Probabilities
    calibrated: bool = False
    inconclusive: bool = False
    unsuitable: str | None = Field(None, exclude_if=lambda value: value is None)
    budget: Budget | None = Field(None, exclude_if=lambda value: value is None)
    stability: Stability | None = Field(None, exclude_if=lambda value: value is None)
    localization: Localization | None = Field(None, alias="mask")
    explanation: Explanation | None = None
    evidence: Evidence | None = None
    provenance: Annotated[Provenance | None, BeforeValidator(_from_text)] = None
    model: ModelInfo
    warnings: tuple[str, ...] = ()
    seconds: NonNegativeFloat

    _mask: NDArray[np.bool_] | None = PrivateAttr(None)
    _probability_map: NDArray[np.float32] | None = PrivateAttr(None)
    _evidence_map: NDArray[np.float32] | None = PrivateAttr(None)
    _picture: Any = PrivateAttr(None)
    _folder: Path = PrivateAttr(Path())

    @model_validator(mode="after")
    def _label_is_largest(self) -> Self:
        probabilities = dict(self.probabilities.items())
        if self.budget is not None and self.budget.exceeded(probabilities["real"]):
            del probabilities["real"]
        best = max(probabilities.values())
        if probabilities.get(self.label, 0.0) < best:
            raise ValueError(
                f"label is {self.label!r} with probability {self.probabilities[self.label]}, "
                f"expected the largest{'' if len(probabilities) == 3 else ' but real'}, {best}"
            )
        return self

    @model_validator(mode="after")
    def _boxes_inside(self) -> Self:
        boxes = [region.box for region in self.localization.regions] if self.localization else []
        boxes += [window.box for window in self.evidence.windows] if self.evidence else []
        for left, top, right, bottom in boxes:
            if not (0 <= left < right <= self.width and 0 <= top < bottom <= self.height):
                raise ValueError(
                    f"box {[left, top, right, bottom]} is not inside the picture of width "
                    f"{self.width} and height {self.height}, expected [left, top, right, bottom]"
                )
        return self

    def __eq__(self, other: object) -> bool:
        """Equal where the JSON is; arrays are not compared."""
        return isinstance(other, Verdict) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    @property
    def outcome(self) -> Label | Literal["inconclusive"]:
        """The label as it is counted and acted on: under a budget only what is stated has one."""
        return "inconclusive" if self.budget is not None and self.inconclusive else self.label

    def with_arrays(
        self,
        *,
        mask: NDArray[np.bool_] | None = None,
        probability_map: NDArray[np.float32] | None = None,
        evidence_map: NDArray[np.float32] | None = None,
        picture: Any = None,
    ) -> Self:
        """A copy that also holds arrays (height, width) and what the picture was read from.

        `picture` is a path, bytes, an array or a Pillow image; `save_overlay` reads it again.
        """
        arrays = {"mask": mask, "probability_map": probability_map, "evidence_map": evidence_map}
        for name, array in arrays.items():
            if array is not None and array.shape != (self.height, self.width):
                size = (self.height, self.width)
                raise ValueError(f"{name} is {array.shape}, expected (height, width) = {size}")
        copy = self.model_copy()
        copy._mask = None if mask is None else _read_only(mask.astype(bool, copy=False))
        if probability_map is not None:
            copy._probability_map = _read_only(probability_map.astype(np.float32, copy=False))
        if evidence_map is not None:
            copy._evidence_map = _read_only(evidence_map.astype(np.float32, copy=False))
        # The source, not its pixels: verdicts are kept in lists, and drawing reads it again.
        copy._picture = picture
        return copy

    def with_mask_file(self, file: str) -> Self:
        """A copy whose JSON names `file` as the place of the mask; arrays are kept."""
        if self.localization is None:
            raise ValueError("this verdict has no mask, so no file can hold it")
        localization = self.localization.model_copy(update={"file": file})
        return self.model_copy(update={"localization": localization})

    def with_evidence_file(self, file: str) -> Self:
        """A copy whose JSON names `file` as the drawing of its evidence; arrays are kept."""
        if self.evidence is None:
            raise ValueError("this verdict has no evidence, so no file can hold it")
        evidence = self.evidence.model_copy(update={"file": file})
        return self.model_copy(update={"evidence": evidence})

    @property
    def evidence_map(self) -> NDArray[np.float32] | None:
        """(height, width) float32 in 0-1, high = looks generated; None where not asked for."""
        return self._evidence_map

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """(height, width) bool, True = altered; None where no mask was made."""
        if self._mask is None and (levels := self._mask_from_file()) is not None:
            self._mask = _read_only(altered_pixels(levels))
        return self._mask

    @property
    def probability_map(self) -> NDArray[np.float32] | None:
        """(height, width) float32 in 0-1, high = altered; from a mask file only 0 and 1."""
        if self._probability_map is None and (levels := self._mask_from_file()) is not None:
            self._probability_map = _read_only(levels.astype(np.float32) / np.float32(255))
        return self._probability_map

    def save_mask(self, path: str | Path) -> None:
        """Write the mask as an 8-bit PNG, 0 or 255. Raises InputError where there is none."""
        save_png(path, self._needed_mask("save"))

    def save_overlay(self, path: str | Path) -> None:
        """Write the picture with its mask drawn over it. InputError where there is no mask."""
        mask = self._needed_mask("draw")
        save_png(path, overlay(self._pixels(), mask))

    def save_evidence(self, path: str | Path) -> None:
        """Write a sheet: the picture with its windows, and where it looks generated and altered.

        Raises InputError where no evidence was asked for, or the model gives none.
        """
        if self.evidence is None or self._evidence_map is None:
            raise InputError(
                "there is no evidence to draw: ask for it with evidence=True, of a model that "
                "weighs windows, as small does"
            )
        pixels = self._pixels()
        boxes = [window.box for window in self.evidence.windows]
        texts = [f"{w.probabilities.full_synthetic:.2f}" for w in self.evidence.windows]
        panels = [("windows", outlined(pixels, boxes, texts))]
        panels.append(("looks generated", heat_map(pixels, self._evidence_map)))
        if self._probability_map is not None:
            panels.append(("looks altered", heat_map(pixels, self._probability_map)))
        save_png(path, side_by_side(panels))

    def _pixels(self) -> NDArray[np.uint8]:
        source = self.image if self._picture is None else self._picture
        if source is None:
            raise InputError(
                "the verdict does not know its picture: it was read back from JSON and names no "
                "file; detect the picture again and save the drawing from that verdict"
            )
        return read_picture(source).pixels

    def _needed_mask(self, verb: str) -> NDArray[np.bool_]:
        mask = self.mask
        if mask is None:
            raise InputError(
                f"there is no mask to {verb}: the picture was judged {self.label}; "
                'ask for masks of every class with masks="all"'
            )
        return mask

    def _mask_from_file(self) -> NDArray[np.uint8] | None:
        if self.localization is None or self.localization.file is None:
            return None
        return read_mask(self._folder / self.localization.file, (self.height, self.width))


def parse_line(line: str | bytes, folder: str | Path = ".") -> Verdict | Failure:
    """Read one line of JSON as `sida detect --json` or `predictions.jsonl` has it.

    A relative `mask.file` is looked for below `folder`. Raises InputError on anything else.
    """
    try:
        schema = json.loads(line)["schema"]
    except (ValueError, KeyError, TypeError, RecursionError):
        schema = None
    if schema not in ("sida.verdict/1", "sida.failure/1"):
        raise InputError(
            f"found a line with schema {schema!r}, expected a JSON object with sida.verdict/1 or "
            "sida.failure/1: give a file that `sida detect --json` has written"
        )
    try:
        if schema == "sida.failure/1":
            return Failure.model_validate_json(line)
        verdict = Verdict.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(step) for step in first["loc"]) or "the line"
        raise InputError(
            f"a line of {schema} does not follow the contract: {field}: {first['msg']}"
        ) from error
    # Mask files are read when they are asked for, so lines of a large set cost no pixels.
    verdict._folder = Path(folder)
    return verdict


def regions_from_mask(
    mask: NDArray[np.bool_],
    probability: NDArray[np.float32],
    smallest: float = 1e-4,
    at_most: int = 20,
) -> tuple[Region, ...]:
    """Connected regions of a (height, width) mask, largest first, `at_most` of them.

    `probability` (height, width) in 0-1 gives their scores. Specks below the fraction `smallest` of
    the picture are left out, but never the largest region.
    """
    height, width = mask.shape
    blobs = components(mask, probability, at_most)
    return tuple(
        Region(
            box=blob.box,
            area=min(1.0, blob.pixels / mask.size),
            score=min(1.0, max(0.0, blob.mean)),  # the mean of float32 may pass 1 in its last digit
            position=position_of(blob.box, width, height),
        )
        for rank, blob in enumerate(blobs)
        if rank == 0 or blob.pixels >= smallest * mask.size
    )


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    # A view: making the array itself read-only would change it for its other holders.
    frozen = array.view()
    frozen.flags.writeable = False
    return frozen
