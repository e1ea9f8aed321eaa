"""Bodies of requests and answers as JSON; verdicts in them are those of `sida.verdict`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from sida.errors import FailureCode
from sida.verdict import ModelInfo, Verdict

__all__ = [
    "BATCH",
    "Answer",
    "Budgets",
    "DetectParameters",
    "ErrorCode",
    "JobState",
    "Listed",
    "MaxFalsePositives",
    "Model",
    "OnePicture",
    "OneReport",
    "Problem",
    "ReportParameters",
    "SeveralPictures",
]

BATCH = 32
"""Most pictures of one batch."""

ErrorCode = (
    FailureCode | Literal["bad_request", "not_allowed", "over_capacity", "too_slow", "defect"]
)
"""A failure's codes, and those of requests that never got as far as a picture."""


def _without_default(schema: dict[str, Any]) -> None:
    """A field that is left out is not the same as one that is null, which a form cannot send."""
    del schema["default"]


MaxFalsePositives = Annotated[
    Annotated[float, Field(gt=0, lt=1)] | SkipJsonSchema[None],
    Field(
        description="State altered or generated only where at most this share of real photographs "
        "scores as high; everything else but real is inconclusive.",
        json_schema_extra=_without_default,
    ),
]

Base64 = Annotated[str, Field(description="The picture's file in base64, or as a data: URI.")]


class Problem(BaseModel):
    """`sida.failure/1`, also for requests that never came to a picture."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    schema_id: Literal["sida.failure/1"] = Field("sida.failure/1", alias="schema")
    image: str | None = None
    error: ErrorCode
    message: str


class DetectParameters(BaseModel):
    """Parts of an answer beside the label and its probabilities."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    explain: bool = Field(False, description="Let the model explain its verdict.")
    masks: bool = Field(
        False, description="Return the mask (0 or 255) and its probabilities as PNG."
    )
    overlays: bool = Field(False, description="Return the picture with its mask drawn over it.")
    evidence: bool = Field(
        False,
        description="Add the evidence of windows, and a map of what looks generated.",
    )
    provenance: bool = Field(
        False, description="Add what the file declares and what is measured in it."
    )
    stability: bool = Field(
        False, description="Judge the picture again as messengers and sites deliver it."
    )
    deliveries: bool = Field(
        False, description="With stability: return each delivery as a small JPEG."
    )
    max_false_positives: MaxFalsePositives = None


class OnePicture(DetectParameters):
    """A picture as JSON."""

    image: Base64


class ReportParameters(BaseModel):
    """The format of a report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["html", "pdf"] = "html"
    max_false_positives: MaxFalsePositives = None
    stability: bool = Field(
        False, description="Judge the picture again as messengers and sites deliver it."
    )


class OneReport(ReportParameters):
    """A picture to report on, as JSON."""

    image: Base64


class SeveralPictures(DetectParameters):
    """Pictures of a batch as JSON."""

    images: Annotated[list[Base64], Field(min_length=1, max_length=BATCH)]


class Answer(Verdict):
    """A verdict; PNGs are in base64, there where asked for, null where there is nothing to draw.

    So are JPEGs, by the names of the deliveries that they show.
    """

    mask_png: str | None = None
    probability_png: str | None = None
    overlay_png: str | None = None
    evidence_png: str | None = None
    delivery_jpegs: dict[str, str] | None = None


class JobState(BaseModel):
    """How far a batch has come; `results` has an answer or a failure for each picture, in order."""

    id: str
    state: Literal["working", "done"]
    done: int
    total: int
    results: list[Answer | Problem]


class Budgets(BaseModel):
    """The budgets of false accusations that a model can be asked for.

    Attributes:
        set, photographs: the real photographs that they rest on.
        smallest: the smallest share that so many can promise.
        default: of requests that name none.
    """

    set: str
    photographs: int
    smallest: float
    default: float | None


class Listed(BaseModel):
    """A model, in OpenAI's form; `sida` says which weights they are."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "sida"
    sida: ModelInfo
    budgets: Budgets | None = None


class Model(BaseModel):
    """The list of models, which has one."""

    object: Literal["list"] = "list"
    data: list[Listed]
