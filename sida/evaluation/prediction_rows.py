"""`PredictionRows`: the numbers of each prediction that figures are computed from."""

import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from sida.errors import DataError, PictureError
from sida.evaluation.metrics import histograms
from sida.evaluation.predictions import (
    FailedPrediction,
    Prediction,
    Predictions,
    Says,
    read_predictions,
    rebased,
)
from sida.image.read import read_mask
from sida.verdict import LABELS, ModelInfo

__all__ = ["NOT_REAL", "PredictionRows", "collect", "merged"]

NOT_REAL = len(LABELS)
"""The truth's number where only "not real" is known."""
NAMES_IN_NOTE = 3  # pictures that a note names
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class PredictionRows:
    """Numbers of n predictions, of which m are of tampered pictures with a usable mask.

    Attributes:
        model: the model that made them.
        names: the pictures, as their lines have them.
        truth: (n,) class numbers in the order of `LABELS`, or `NOT_REAL`.
        predicted: (n,) class numbers.
        probabilities: (n, 3).
        inconclusive: (n,) True for a verdict that states no class; False where its line is silent.
        sources, generators: of each picture, or None.
        groups: (n,) a number for each original.
        grouped: True where the set names originals.
        predicted_pixels: (n,) pixels of the verdict's own mask; -1 where it has none but should.
        pixels: (n,) pixels of the picture.
        masked: (m,) their indices among the n.
        counts: (m, 2, 256) float32: altered and untouched pixels at each level of the map.
        mapped: (m,) True where there is a map; without one all pixels count as level 0.
        failures: pictures without a verdict.
        notes: sentences about masks and maps that could not be used.
        indices: (n,) positions in the set; -1 where the line does not say.
        unsuitable: (n,) True for a picture that the model was not made for.
        says: the least that any of the verdicts says.
    """

    model: ModelInfo | None
    names: Sequence[str]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    inconclusive: NDArray[np.bool_]
    sources: Sequence[str | None]
    generators: Sequence[str | None]
    groups: NDArray[np.int64]
    grouped: bool
    predicted_pixels: NDArray[np.int64]
    pixels: NDArray[np.int64]
    masked: NDArray[np.int64]
    counts: NDArray[np.float32]
    mapped: NDArray[np.bool_]
    failures: Sequence[FailedPrediction]
    notes: Sequence[str]
    indices: NDArray[np.int64]
    unsuitable: NDArray[np.bool_]
    says: Says = "masks"


@dataclass(frozen=True)
class _Pixels:
    """Histograms of a picture, or the problem that it has none for."""

    counts: Counts | None = None
    mapped: bool = False
    problem: str | None = None


def collect(
    predictions: Iterable[Prediction | FailedPrediction],
    on_progress: Callable[[int, int | None], None] = lambda finished, total: None,
) -> PredictionRows:
    """Read every mask and map once, and keep the numbers.

    Raises:
        DataError: the predictions are of several models.
        InputError, DataError: as `read_predictions`, where they come from it.
    """
    numbers: list[_PictureNumbers] = []
    model: ModelInfo | None = None
    failures: list[FailedPrediction] = []
    masked: list[int] = []
    counts: list[NDArray[np.float32]] = []
    mapped: list[bool] = []
    problems: dict[str, list[str]] = {}
    for number, (prediction, pixels) in enumerate(_prefetched(predictions, _pixels), 1):
        on_progress(number, None)
        if isinstance(prediction, FailedPrediction):
            failures.append(prediction)
            continue
        model = model or prediction.model
        _require_same_model(model, prediction)
        if pixels.counts is not None:
            masked.append(len(numbers))
            # float32 holds whole numbers to 2^24 exactly, and halves the memory of large sets.
            counts.append(pixels.counts.astype(np.float32))
            mapped.append(pixels.mapped)
        if pixels.problem is not None:
            problems.setdefault(pixels.problem, []).append(prediction.image or "?")
        numbers.append(_picture_numbers(prediction))
    return _rows(model, numbers, failures, masked, counts, mapped, problems)


def merged(files: Sequence[str | Path], folder: Path) -> Predictions:
    """The lines of several files, as of one in `folder`, in the order of the set.

    Files without places keep their order; shards of a small set may be empty, but not all.
    Raises DataError where a place is there twice.
    """
    # Streamed where order and paths are right already; else all lines are in memory.
    if len(files) == 1 and Path(files[0]).parent.resolve() == folder.resolve():
        yield from read_predictions(files[0])
        return
    filled = [file for file in files if Path(file).stat().st_size] or files[:1]
    lines = [rebased(line, folder) for file in filled for line in read_predictions(file)]
    indices = [line.index for line in lines]
    if None not in indices:
        twice = [index for index, times in Counter(indices).items() if times > 1]
        if twice:
            raise DataError(
                f"the picture with index {min(twice)} is in several of the files of predictions "
                f"({', '.join(map(str, files))}): give each shard once, and sets one by one"
            )
        lines.sort(key=lambda line: line.index)
    yield from lines


class _PictureNumbers(NamedTuple):
    """Numbers of a line besides its pixels; texts, regions and files are not kept."""

    name: str
    truth: int
    predicted: int
    probabilities: tuple[float, ...]
    inconclusive: bool
    source: str | None
    generator: str | None
    group: str | None
    predicted_pixels: int
    pixels: int
    position: int
    unsuitable: bool
    says: Says


_NAMES = (*LABELS, "not_real")


def _picture_numbers(prediction: Prediction) -> _PictureNumbers:
    truth = prediction.truth
    return _PictureNumbers(
        name=prediction.image or "",
        truth=_NAMES.index(truth.label),
        predicted=_NAMES.index(prediction.label),
        probabilities=tuple(value for _, value in prediction.probabilities.items()),
        inconclusive=prediction.inconclusive,
        # A set has a few sources and generators, and a hundred thousand rows.
        source=truth.source and sys.intern(truth.source),
        generator=prediction.generator and sys.intern(prediction.generator),
        group=truth.group,
        predicted_pixels=_predicted_pixels(prediction),
        pixels=prediction.width * prediction.height,
        position=-1 if prediction.index is None else prediction.index,
        unsuitable=prediction.unsuitable is not None,
        says=prediction.says,
    )


def _rows(
    model: ModelInfo | None,
    numbers: Sequence[_PictureNumbers],
    failures: Sequence[FailedPrediction],
    masked: Sequence[int],
    counts: Sequence[NDArray[np.float32]],
    mapped: Sequence[bool],
    problems: dict[str, list[str]],
) -> PredictionRows:
    groups = [row.group for row in numbers]
    # A picture without a group is an original of its own.
    originals = [f"group {g}" if g is not None else f"picture {i}" for i, g in enumerate(groups)]
    probabilities = np.array([row.probabilities for row in numbers], np.float64)
    return PredictionRows(
        model=model,
        names=[row.name for row in numbers],
        truth=np.array([row.truth for row in numbers], np.int64),
        predicted=np.array([row.predicted for row in numbers], np.int64),
        probabilities=probabilities.reshape(-1, len(LABELS)),
        inconclusive=np.array([row.inconclusive for row in numbers], bool),
        sources=[row.source for row in numbers],
        generators=[row.generator for row in numbers],
        groups=np.unique(originals, return_inverse=True)[1].astype(np.int64),
        grouped=any(group is not None for group in groups),
        predicted_pixels=np.array([row.predicted_pixels for row in numbers], np.int64),
        pixels=np.array([row.pixels for row in numbers], np.int64),
        masked=np.array(masked, np.int64),
        counts=np.array(counts, np.float32).reshape(-1, 2, 256),
        mapped=np.array(mapped, bool),
        failures=tuple(failures),
        notes=tuple(_note(problem, names) for problem, names in problems.items()),
        indices=np.array([row.position for row in numbers], np.int64),
        unsuitable=np.array([row.unsuitable for row in numbers], bool),
        says=max((row.says for row in numbers), key=get_args(Says).index, default="masks"),
    )


def _predicted_pixels(prediction: Prediction) -> int:
    if prediction.localization is None:
        return -1 if prediction.label == "tampered" else 0
    return round(prediction.localization.area * prediction.width * prediction.height)


def _note(problem: str, names: Sequence[str]) -> str:
    shortened = ", ".join(names[:NAMES_IN_NOTE]) + (", …" if len(names) > NAMES_IN_NOTE else "")
    return f"{len(names)} x {problem} ({shortened})"


def _require_same_model(model: ModelInfo, prediction: Prediction) -> None:
    if prediction.model != model:
        raise DataError(
            f"the predictions are of several models ({model.name} {model.digest[:12]}, "
            f"{prediction.model.name} {prediction.model.digest[:12]}): give those of one"
        )


def _pixels(prediction: Prediction | FailedPrediction) -> _Pixels:
    """The histograms of a tampered picture's map, by its true mask."""
    if isinstance(prediction, FailedPrediction) or prediction.truth.label != "tampered":
        return _Pixels()
    # Of real and synthetic pictures the verdict's own area is enough: no map is read.
    try:
        truth = prediction.truth_mask()
    except PictureError as error:
        return _Pixels(problem=f"mask of a tampered picture that cannot be read: {error}")
    if truth is None:
        return _Pixels(problem="tampered picture without a mask; scored for its class alone")
    if not truth.any():
        return _Pixels(problem="mask that marks nothing; its picture is scored for its class alone")
    try:
        levels, problem = _levels(prediction), None
    except PictureError as error:
        levels, problem = None, f"probability map that cannot be read: {error}"
    if levels is None:
        if problem is None and prediction.label == "tampered" and prediction.says == "masks":
            problem = "picture called tampered without a map; its mask is not scored"
        no_map = np.zeros(truth.shape, np.uint8)
        return _Pixels(histograms(truth, no_map), mapped=False, problem=problem)
    return _Pixels(histograms(truth, levels), mapped=True)


def _levels(prediction: Prediction) -> NDArray[np.uint8] | None:
    """The map; where a file has masks alone, the mask."""
    localization = prediction.localization
    if prediction.map_file is None and localization is not None and localization.file is not None:
        size = (prediction.height, prediction.width)
        return read_mask(prediction.folder / localization.file, size)
    return prediction.levels()


def _prefetched(
    predictions: Iterable[Prediction | FailedPrediction],
    work: Callable[[Prediction | FailedPrediction], _Pixels],
) -> Iterator[tuple[Prediction | FailedPrediction, _Pixels]]:
    """Each prediction with its result of `work`, in order; threads work a few ahead."""
    waiting: deque[tuple[Prediction | FailedPrediction, Future[_Pixels]]] = deque()
    remaining, count = iter(predictions), min(8, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(count, thread_name_prefix="sida-maps")
    try:
        while True:
            # Bounded: maps are megabytes each, and threads may be faster than the consumer.
            for prediction in islice(remaining, 16 * count - len(waiting)):
                waiting.append((prediction, pool.submit(work, prediction)))
            if not waiting:
                return
            prediction, future = waiting.popleft()
            yield prediction, future.result()
    finally:
        # Also when the consumer stops in the midst: no thread outlives the generator.
        pool.shutdown(wait=True, cancel_futures=True)
