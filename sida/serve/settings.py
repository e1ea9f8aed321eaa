"""The settings of the service: one object for the command line, Ray Serve's file and the app."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sida.model.budget import read_calibration
from sida.options import ModelOptions, require_share
from sida.provenance.declared.trust import read_trust
from sida.serve.keys import Key, read_keys

__all__ = ["ServeSettings"]


def _keys_of(keys: object) -> object:
    return read_keys(keys) if isinstance(keys, str | Path) else keys


def _calibration_of(path: object) -> object:
    return read_calibration(path) if isinstance(path, str | Path) else path


def _certificates_of(path: object) -> object:
    return read_trust(path) if isinstance(path, str | Path) else path


class ServeSettings(BaseModel):
    """The served model and the limits of the service: the options of `sida serve`, in their units.

    The files of `keys`, `trust` and `calibration` are read when the settings are made, so that they
    can be sent to a machine without these files. Raises ConfigError or InputError where one is not
    as expected.

    Attributes:
        model, random_weights, device, dtype, quantize, batch_size: as of `ModelOptions`.
        max_wait: seconds that a micro-batch waits for more pictures before it begins.
        places: requests at once, from before their body is read until their answer is made; one
            more is refused with 429.
        max_upload: megabytes of one picture; a batch may have four times as much in all.
        max_pixels: megapixels of a picture; larger ones are refused by their header.
        time_limit: seconds that sending a body may take, and as many that its answer may take.
        keys: a YAML file of keys, or the keys themselves; empty means everybody.
        allow_origin: web pages of these origins may ask from a browser; none by default.
        trust: a file of certificates (PEM) of issuers of content credentials; kept as its text.
        max_false_positives: the budget of requests that name none; None leaves them without one.
        calibration: a file of `sida calibrate`, in the place of the model's own; kept as its text.
        keep: folder in which pictures that were judged are kept; None keeps none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = ModelOptions.model
    random_weights: str | None = ModelOptions.random_weights
    device: str = ModelOptions.device
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantize: str | None = ModelOptions.quantize
    batch_size: Annotated[int, Field(ge=1)] | None = None
    max_wait: Annotated[float, Field(ge=0)] = 0.01
    places: Annotated[int, Field(ge=1)] = 64
    max_upload: Annotated[float, Field(ge=0.01)] = 20
    max_pixels: Annotated[float, Field(ge=0.01, le=100)] = 40
    time_limit: Annotated[float, Field(ge=0.1)] = 120
    keys: Annotated[tuple[Key, ...], BeforeValidator(_keys_of)] = ()
    allow_origin: tuple[str, ...] = ()
    trust: Annotated[str | None, BeforeValidator(_certificates_of)] = None
    max_false_positives: Annotated[float, AfterValidator(require_share)] | None = None
    calibration: Annotated[str | None, BeforeValidator(_calibration_of)] = None
    keep: Annotated[Path, AfterValidator(Path.absolute)] | None = None

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if self.random_weights is not None and "model" in self.model_fields_set:
            raise ValueError("model and random_weights exclude each other: give one")
        return self

    @property
    def upload_bytes(self) -> int:
        """The most bytes of one picture."""
        return int(self.max_upload * 1e6)

    def model_options(self) -> ModelOptions:
        """How the served model is loaded."""
        return ModelOptions(
            model=self.model,
            random_weights=self.random_weights,
            device=self.device,
            dtype=self.dtype,
            quantize=self.quantize,
            batch_size=self.batch_size or "auto",
            max_pixels=int(self.max_pixels * 1e6),
            trust=self.trust,
            calibration=self.calibration,
        )
