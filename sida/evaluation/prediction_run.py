"""Predict a labelled set, and write `predictions.jsonl` and its maps.

Blocks always begin at the same samples, so that the batches never depend on shards or on where a
run was stopped: the same machine gives the same numbers.
Finished blocks stand in a journal, whose unfinished end is dropped when a run goes on.
"""

import glob
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from sida.data.problems import DataProblem
from sida.data.sample import Sample, stored_bytes
from sida.errors import ConfigError, DataError, PictureError
from sida.evaluation.predictions import (
    FailedPrediction,
    Prediction,
    Predictor,
    Truth,
    parse_prediction,
    relative,
)
from sida.files import write_bytes, write_whole
from sida.image.arrays import Mask, Pixels, altered_pixels
from sida.image.overlay import png_bytes
from sida.image.read import read_picture
from sida.run_folder import LocalFolder, RunFolder, RunRecord
from sida.verdict import Failure, Verdict

__all__ = [
    "BLOCK",
    "PREDICTIONS",
    "RUN",
    "BlockMapper",
    "Perturb",
    "PredictedSample",
    "Shard",
    "folder_name",
    "map_levels",
    "predict",
    "run_folder",
]

BLOCK = 32
"""Pictures that are predicted and written together."""
PREDICTIONS = "predictions.jsonl"
RUN = "run.json"
JOURNAL = ".predictions.part.jsonl"
FIGURES = ("metrics.json", "metrics.md", "metrics.csv", "index.html")
LEAKAGE, ROBUSTNESS, BASELINES = "leakage.json", "robustness", "baselines"
OPTIONS = {
    "data": "DATA",
    "from": "--from",
    "content": "--from",
    "model.name": "--model",
    "model.version": "version of the model",
    "model.digest": "weights",
}

Perturb = Callable[[Pixels, Mask | None, int], tuple[Pixels, Mask | None]]
"""Takes pixels (height, width, 3), the mask (height, width) and a seed; gives others."""


Line = Prediction | FailedPrediction
SampleBlock = tuple[int, Sequence[Sample]]
"""A block's number and its samples."""


class PredictedSample(NamedTuple):
    """Outcome of a sample: its line, files by their paths, and problems with the sample."""

    line: Line
    files: Mapping[str, bytes]
    problems: Sequence[DataProblem]


BlockResult = tuple[int, Sequence[PredictedSample]]
BlockMapper = Callable[
    [Callable[[SampleBlock], BlockResult], Iterable[SampleBlock]], Iterable[BlockResult]
]
"""Calls a function with each of many blocks, anywhere and in any order; gives the results."""


@dataclass(frozen=True)
class Shard:
    """Every `count`-th block of a set, from the `number`-th on (from 1)."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """From "2/4". Raises ConfigError."""
        number, _, count = text.partition("/")
        if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
            return cls(int(number), int(count))
        raise ConfigError(f"the shard is {text!r}, expected I/N with I from 1 to N, such as 1/2")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def has(self, block: int) -> bool:
        """True for a block of this shard."""
        return block % self.count == self.number - 1


def predict(
    predictor: Predictor,
    samples: Iterable[Sample],
    out: Path,
    identity: Mapping[str, object],
    *,
    shard: Shard = Shard(),
    perturb: Perturb | None = None,
    on_progress: Callable[[int, int | None], None] = lambda count, total: None,
    mapper: BlockMapper = map,
) -> Path:
    """Predict samples; returns `out/predictions.jsonl`, which is there completely or not at all.

    Args:
        predictor: makes verdicts.
        samples: in their order; pictures that cannot be read become failures.
        out: a folder, or that of the same run, which then goes on.
        identity: what decides the numbers; kept in `out/run.json`.
        shard: predict only these blocks.
        perturb: change each picture and its mask first; the seed is of the picture's file.
        on_progress: called with the number of samples that are done, and of all.
        mapper: predicts blocks elsewhere; the predictor must be one that can be sent there.

    Raises:
        ConfigError: `out` belongs to a run of another identity.
    """
    target = out / PREDICTIONS
    folder = run_folder(out)
    # `evaluate` claimed the folder above; that of a perturbation or baseline begins here.
    identity = {**identity, "shard": str(shard)}
    if folder.check(identity) is None:
        folder.begin(identity)
    folder.files.remove_temporaries()
    if target.is_file():
        return target
    journal = _Journal(out)
    count, total = journal.count, _count(samples, shard)
    on_progress(count, total)
    # Samples of blocks under way: a mapper may return blocks in another order.
    parts: dict[int, Sequence[Sample]] = {}

    def missing() -> Iterator[SampleBlock]:
        for block, part in _blocks(samples):
            if shard.has(block) and block not in journal.blocks:
                parts[block] = part
                yield block, part

    for block, items in mapper(partial(_predict_block, predictor, perturb, out), missing()):
        for sample, item in zip(parts.pop(block), items, strict=True):
            for file, content in item.files.items():
                write_bytes(out / file, content)
            for problem in item.problems:
                sample.report.add(problem.code, problem.name, problem.message)
        # After the files that the lines name: a line in the journal is a promise.
        journal.add(block, [item.line for item in items])
        count += len(items)
        on_progress(count, total)
    journal.finish(target)
    return target


def run_folder(out: Path) -> RunFolder:
    """The folder of one set's predictions, or of several sets with a folder each."""
    return RunFolder(LocalFolder(out), RUN, "data", _written, _option)


def folder_name(name: str, names: Container[str], default: str) -> str:
    """A name as that of a folder beside others: plain characters, and a number if it is there."""
    plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in name).strip(".") or default
    number, free = 1, plain
    while free in names:
        number += 1
        free = f"{plain}-{number}"
    return free


def _written(record: RunRecord) -> Iterator[str]:
    """Patterns of what evaluations write."""
    folders = cast(Sequence[str], record.get("folders", ()))
    for above in ("", *(f"{glob.escape(name)}/" for name in folders)):
        for folder in (above, f"{above}{BASELINES}/*/"):
            for below in (folder, f"{folder}{ROBUSTNESS}/*/"):
                for name in (PREDICTIONS, JOURNAL, LEAKAGE, *FIGURES):
                    yield below + name
                for maps in ("maps", "truth"):
                    yield f"{below}{maps}/[0-9]*/[0-9]*.png"
                if below:  # that of the folder itself goes last
                    yield below + RUN


def _option(key: str) -> str:
    return OPTIONS.get(key, f"--{key}")


def map_levels(probability: NDArray[np.float32]) -> Pixels:
    """A probability map (height, width) in 8 bits: from 128 on where it is above 0.5."""
    # Rounded so that 128 and above is exactly what the threshold 0.5 calls altered.
    levels: Pixels = np.ceil(probability * np.float32(255) - np.float32(0.5)).astype(np.uint8)
    return levels


def _count(samples: Iterable[Sample], shard: Shard) -> int | None:
    """How many pictures a shard has, where that is known."""
    try:
        total = len(samples)  # type: ignore[arg-type]
    except TypeError:  # streamed
        return None
    starts = range(0, total, BLOCK)
    return sum(min(BLOCK, total - at) for block, at in enumerate(starts) if shard.has(block))


def _blocks(samples: Iterable[Sample]) -> Iterator[tuple[int, list[Sample]]]:
    coming, block = iter(samples), 0
    while part := list(islice(coming, BLOCK)):
        yield block, part
        block += 1


def _predict_block(
    predictor: Predictor, perturb: Perturb | None, out: Path, block: SampleBlock
) -> BlockResult:
    number, samples = block
    outcomes = _outcomes(predictor, samples, number * BLOCK, perturb)
    return number, [_predicted(out, *outcome) for outcome in outcomes]


def _outcomes(
    predictor: Predictor, samples: Sequence[Sample], start: int, perturb: Perturb | None
) -> Iterator[tuple[int, Sample, Verdict | Failure, Mask | None]]:
    """Verdicts of a block with their masks, in order."""
    failed: dict[int, Failure] = {}
    requested: list[tuple[int, Any, Mask | None]] = []
    # The predictor gets the readable ones in one call, so that it can batch them; failures
    # return to their positions below.
    for offset, sample in enumerate(samples):
        try:
            requested.append((offset, *_source(sample, perturb)))
        except PictureError as error:
            failed[offset] = Failure(error=error.code, message=str(error))
    results = predictor(
        [samples[offset] for offset, _, _ in requested], [source for _, source, _ in requested]
    )
    answers = {
        offset: (result, mask) for (offset, _, mask), result in zip(requested, results, strict=True)
    }
    for offset, sample in enumerate(samples):
        result, mask = answers.get(offset) or (failed[offset], None)
        # Read late: the verdict knows the size that a mask is brought to.
        if perturb is None and isinstance(result, Verdict):
            mask = _mask_of(sample, (result.height, result.width))
        yield start + offset, sample, result, mask


def _source(sample: Sample, perturb: Perturb | None) -> tuple[Any, Mask | None]:
    """The picture for the predictor, and its mask where that had to be read already."""
    stored = sample.picture
    source = stored if isinstance(stored, Path) else stored_bytes(stored)
    if perturb is None:
        return source, None
    picture = read_picture(source, name=sample.name or None)
    assert picture.sha256 is not None  # it came from a file
    # The seed is of the picture, so that its position in the set does not matter.
    seed = int(picture.sha256[:16], 16)
    return perturb(picture.pixels, _mask_of(sample, (picture.height, picture.width)), seed)


def _mask_of(sample: Sample, size: tuple[int, int]) -> Mask | None:
    levels = sample.read_mask(size) if sample.label == "tampered" else None
    return None if levels is None else altered_pixels(levels)


def _predicted(
    out: Path, index: int, sample: Sample, result: Verdict | Failure, mask: Mask | None
) -> PredictedSample:
    """The line of a picture, and its mask and map, which are to lie beside it."""
    files: dict[str, bytes] = {}

    def png(folder: str, array: NDArray[Any] | None) -> str | None:
        if array is None:
            return None
        file = f"{folder}/{index // 1000:04d}/{index:06d}.png"
        files[file] = png_bytes(array)
        return file

    truth = Truth(
        label=sample.label,
        mask=png("truth", mask),
        source=sample.source,
        group=sample.group,
        description=sample.description,
    )
    picture = sample.picture
    image = relative(picture, out) if isinstance(picture, Path) else sample.name
    fields: dict[str, Any] = {"image": image, "index": index, "generator": _generator(sample)}
    line: Line
    if isinstance(result, Failure):
        line = FailedPrediction.of(result, truth, **fields)
    else:
        line = Prediction.of(result, truth, map_file=png("maps", _levels(result)), **fields)
    return PredictedSample(line, files, sample.report.of(sample.name))


def _levels(verdict: Verdict) -> NDArray[Any] | None:
    """Levels of the map, or of the mask where a predictor gives no map."""
    probabilities = verdict.probability_map
    return verdict.mask if probabilities is None else map_levels(probabilities)


def _generator(sample: Sample) -> str | None:
    name = sample.more.get("generator")
    return str(name) if name not in (None, "") else None


class _Journal:
    """Lines of finished blocks. What a killed run has half written is dropped."""

    def __init__(self, out: Path) -> None:
        self.file = out / JOURNAL
        self._lines = dict(self._stored())
        self.blocks = {index // BLOCK for index in self._lines}
        if self.blocks:  # the last one may lack lines
            last = list(self._lines)[-1] // BLOCK
            # A block goes through the predictor as a whole or not at all: its batches, and so its
            # numbers, would differ otherwise.
            if sum(index // BLOCK == last for index in self._lines) < BLOCK:
                self.blocks.discard(last)
                self._lines = {i: line for i, line in self._lines.items() if i // BLOCK != last}
        self.count = len(self._lines)
        with write_whole(self.file) as temporary, temporary.open("wb") as stream:
            stream.writelines(self._lines.values())

    def _stored(self) -> Iterator[tuple[int, bytes]]:
        with suppress(OSError), self.file.open("rb") as stream:
            for line in stream:
                try:
                    index = parse_prediction(line, self.file.parent, "a line").index
                except DataError:
                    return
                if not line.endswith(b"\n") or index is None:
                    return
                yield index, line

    def add(self, block: int, lines: Sequence[Line]) -> None:
        """Write a finished block."""
        text = "".join(line.model_dump_json() + "\n" for line in lines)
        with self.file.open("ab") as stream:
            stream.write(text.encode())
            stream.flush()
            # A power cut must not leave a hole before later lines.
            os.fsync(stream.fileno())
        self.blocks.add(block)

    def finish(self, target: Path) -> None:
        """All lines in the order of the set, as a whole; nothing is left of the journal."""
        # By index: shards and workers finish blocks in any order.
        lines = sorted(self._stored())
        with write_whole(target) as temporary, temporary.open("wb") as stream:
            stream.writelines(line for _, line in lines)
        self.file.unlink()
