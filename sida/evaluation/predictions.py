"""`predictions.jsonl`: verdicts on the pictures of a labelled set, and the truth.

A line is a verdict (or a failure) and `truth`, `probability_map` and `index`. Paths in a line are
relative to the file that holds it. Every figure of an evaluation is computed from such lines, so
that they give the same numbers wherever and however they were made.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from sida.data.sample import Sample
from sida.errors import DataError, InputError, PictureError
from sida.image.arrays import Pixels, altered_pixels
from sida.image.read import read_mask
from sida.image.truth_mask import read_truth_mask
from sida.verdict import Failure, Label, ModelInfo, Verdict

__all__ = [
    "BaselineVerdict",
    "FailedPrediction",
    "Prediction",
    "Predictions",
    "Predictor",
    "Says",
    "Truth",
    "TruthLabel",
    "parse_prediction",
    "read_predictions",
    "rebased",
    "relative",
]

TruthLabel = Label | Literal["not_real"]
"""`not_real` where a set knows real and fake alone."""

Says = Literal["masks", "classes", "real_or_not"]
"""How much verdicts say. By `real_or_not` both other labels mean no more than "not real"."""


class BaselineVerdict(Verdict):
    """A verdict of another model that may say less than ours: `says` tells how much."""

    says: Says = "classes"


class Truth(BaseModel):
    """The truth of a picture; `mask` is a file, bright = altered; `description` is words."""

    model_config = ConfigDict(frozen=True)

    label: TruthLabel
    mask: str | None = None
    source: str | None = None
    group: str | None = None
    description: str | None = None

    @model_serializer(mode="wrap")
    def _without_nothing(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Most sets have no descriptions, and no line need say so."""
        fields: dict[str, Any] = serialize(self)
        return {k: v for k, v in fields.items() if k != "description" or v is not None}


class Prediction(Verdict):
    """A verdict and the truth; `map_file` is the JSON's `probability_map`.

    Attributes:
        truth: what is known of the picture.
        map_file: the 8-bit probability map at the picture's size, 255 = altered.
        index: the picture's place in its set, from 0; None in files made elsewhere.
        generator: what made or altered the picture, where the set says so.
        says: how much the verdict says; figures that need more are not measured.
    """

    truth: Truth
    map_file: str | None = Field(None, alias="probability_map")
    index: NonNegativeInt | None = None
    generator: str | None = None
    says: Says = "masks"

    @classmethod
    def of(
        cls,
        verdict: Verdict,
        truth: Truth,
        *,
        image: str | None = None,
        map_file: str | None = None,
        index: int | None = None,
        generator: str | None = None,
        folder: str | Path = ".",
    ) -> "Prediction":
        """A verdict's line; `image` replaces its own, paths are relative to `folder`."""
        fields = _fields(verdict, Verdict, image)
        if isinstance(verdict, BaselineVerdict):
            fields["says"] = verdict.says
        prediction = cls(**fields, truth=truth, map_file=map_file, index=index, generator=generator)
        prediction._folder = Path(folder)
        return prediction

    @property
    def folder(self) -> Path:
        """The folder that the line's paths are relative to."""
        return self._folder

    def levels(self) -> Pixels | None:
        """(height, width) uint8 of the probability map, None without one.

        Raises PictureError where it cannot be read.
        """
        return _read(self._folder, self.map_file, (self.height, self.width))

    def truth_mask(self) -> NDArray[np.bool_] | None:
        """(height, width) bool, True = altered; None without one, and as `levels`."""
        if self.truth.mask is None:
            return None
        levels = _plain_png(self._folder / self.truth.mask, (self.height, self.width))
        if levels is None or not _is_binary(levels):
            levels = read_truth_mask(self._folder / self.truth.mask).levels
        _require_shape(levels, self.truth.mask, (self.height, self.width))
        return altered_pixels(levels)


class FailedPrediction(Failure):
    """A picture without a verdict, and the truth."""

    truth: Truth
    index: NonNegativeInt | None = None
    generator: str | None = None

    _folder: Path = PrivateAttr(Path())

    @classmethod
    def of(
        cls,
        failure: Failure,
        truth: Truth,
        *,
        image: str | None = None,
        index: int | None = None,
        generator: str | None = None,
        folder: str | Path = ".",
    ) -> "FailedPrediction":
        """A failure's line; see `Prediction.of`."""
        fields = _fields(failure, Failure, image)
        prediction = cls(**fields, truth=truth, index=index, generator=generator)
        prediction._folder = Path(folder)
        return prediction

    @property
    def folder(self) -> Path:
        """The folder that the line's paths are relative to."""
        return self._folder


def _fields(result: BaseModel, model: type[BaseModel], image: str | None) -> dict[str, Any]:
    """Fields of a result as this model; `image` replaces its own."""
    fields = {name: getattr(result, name) for name in model.model_fields}
    return fields if image is None else fields | {"image": image}


Predictions = Iterator[Prediction | FailedPrediction]


class Predictor(Protocol):
    """Anything that makes verdicts: our detector, or a baseline."""

    @property
    def model(self) -> ModelInfo:
        """Its name and weights; the same for all of its verdicts."""

    def __call__(
        self, samples: Sequence[Sample], pictures: Sequence[Path | bytes | Pixels]
    ) -> Iterator[Verdict | Failure]:
        """A result for each picture, in order; masks as arrays of the verdict.

        `pictures` are a sample's own file, or pixels (height, width, 3) made of it; `samples` name
        them. No verdict may depend on their labels and masks; but a predictor may add a
        probability map where there is a mask to measure it by.
        """


def _read(folder: Path, file: str | None, size: tuple[int, int]) -> Pixels | None:
    if file is None:
        return None
    levels = _plain_png(folder / file, size)
    levels = read_mask(folder / file) if levels is None else levels
    _require_shape(levels, file, size)
    return levels


def _require_shape(levels: Pixels, file: str, size: tuple[int, int]) -> None:
    if levels.shape != size:
        raise PictureError(
            f"{file!r} is {levels.shape}, expected the picture's (height, width) = {size}"
        )


def _is_binary(levels: Pixels) -> bool:
    """True where there is nothing but 0 and 255, so that no threshold is needed."""
    return bool((np.minimum(levels, 255 - levels) == 0).all())


def _plain_png(path: Path, size: tuple[int, int]) -> Pixels | None:
    """The levels of a PNG as they are written here, which is quick; None for any other file."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.size == size[::-1] and image.mode in ("L", "1") and not image.info:
                return np.array(image.convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        pass  # the careful way says what is wrong with it
    return None


def read_predictions(path: str | Path) -> Predictions:
    """Stream the lines of a `predictions.jsonl`.

    Raises:
        InputError: the file is not there, or holds no line.
        DataError: a line is not to the contract; the text has its number and says why.
    """
    file = Path(path)
    number = 0
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                yield parse_prediction(line, file.parent, f"{str(path)!r}, line {number}")
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    if not number:
        raise InputError(
            f"{str(path)!r} is empty, expected a prediction a line: let `sida evaluate DATA` write "
            "it"
        )


_MODELS: dict[Any, type[Prediction] | type[FailedPrediction]] = {
    "sida.verdict/1": Prediction,
    "sida.failure/1": FailedPrediction,
}


def parse_prediction(
    line: str | bytes, folder: Path, location: str
) -> Prediction | FailedPrediction:
    """The prediction of a line; `location` names the line in a DataError."""
    try:
        read = json.loads(line)
        schema = read["schema"]
        model = _MODELS[schema]
    except (ValueError, RecursionError) as error:
        raise DataError(f"{location}: found no JSON ({error}), expected a prediction") from error
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{location}: found no verdict, expected an object whose schema is "
            f"{' or '.join(_MODELS)}, with the key truth"
        ) from error
    try:
        prediction = model.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(step) for step in first["loc"]) or "the line"
        raise DataError(f"{location}: {field}: {first['msg']}") from error
    prediction._folder = folder
    return prediction


def rebased(prediction: Prediction | FailedPrediction, folder: Path) -> Any:
    """The same line for a file in another folder."""

    def move(file: str | None) -> str | None:
        return None if file is None else relative(prediction.folder / file, folder)

    truth = prediction.truth.model_copy(update={"mask": move(prediction.truth.mask)})
    changes: dict[str, Any] = {"truth": truth}
    if prediction.image is not None and (prediction.folder / prediction.image).exists():
        changes["image"] = move(prediction.image)
    if isinstance(prediction, Prediction):
        changes["map_file"] = move(prediction.map_file)
    copy = prediction.model_copy(update=changes)
    copy._folder = folder
    return copy


def relative(path: str | Path, folder: str | Path) -> str:
    """A path as seen from a folder, with slashes; absolute where there is no way from one there."""
    target = os.path.realpath(path)
    try:
        return Path(os.path.relpath(target, os.path.realpath(folder))).as_posix()
    except ValueError:  # another drive of Windows
        return Path(target).as_posix()
