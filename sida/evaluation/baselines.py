"""Other detectors on the same pictures: `hf:MODEL`, `command:CMD`, `csv:FILE`.

A detector that tells only real from anything else says `real_or_not`: the label of such a verdict
is no class, and figures that need one are not measured.
"""

import csv
import hashlib
import io
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from sida.data.sample import Sample
from sida.errors import CheckpointError, ConfigError, DataError, InputError, PictureError, SidaError
from sida.evaluation.metrics import Floats
from sida.evaluation.prediction_run import folder_name
from sida.evaluation.predictions import BaselineVerdict, Predictor, Says
from sida.image.arrays import Pixels
from sida.image.overlay import save_png
from sida.image.read import read_picture
from sida.verdict import LABELS, Failure, ModelInfo, Probabilities, Verdict, parse_line

__all__ = [
    "Baseline",
    "CommandPredictor",
    "HubPredictor",
    "ScoresPredictor",
    "load",
    "parse_labels",
]

TIMEOUT = 120.0
"""Seconds that a command may take for one picture."""
PRINTED, ERRORS = 64 << 20, 64 << 10
"""Bytes that are read of what a command prints, and kept of what it says to standard error."""
BATCH = 8

PictureSource = Path | bytes | Pixels
NOT_REAL = "not_real"
_NAMES: tuple[str, ...] = LABELS


@dataclass(frozen=True)
class Baseline:
    """Another detector. `sees_pixels` is False where it knows pictures by their names alone."""

    predictor: Predictor
    sees_pixels: bool = True


def load(
    specs: Sequence[str], labels: Mapping[str, str] | None = None, device: str = "auto"
) -> dict[str, Baseline]:
    """Baselines by names for their folders.

    Args:
        specs: `hf:FOLDER_OR_NAME`, `command:CMD ...` or `csv:FILE`, each.
        labels: a model's word for a class -> one of `LABELS`, or "not_real".
        device: of models.

    Raises:
        ConfigError: a specification or a label is none.
        CheckpointError, InputError, DataError: a model, a command or a file cannot be used.
    """
    baselines: dict[str, Baseline] = {}
    for spec in specs:
        source, _, target = spec.partition(":")
        if source not in ("hf", "command", "csv") or not target.strip():
            raise ConfigError(
                f"the baseline is {spec!r}, expected hf:FOLDER_OR_NAME, command:CMD or csv:FILE"
            )
        name = folder_name(_name(source, target), baselines, source)
        if source == "hf":
            baselines[name] = Baseline(HubPredictor(target, labels or {}, device, name))
        elif source == "command":
            baselines[name] = Baseline(CommandPredictor(target, name))
        else:
            baselines[name] = Baseline(ScoresPredictor(Path(target), name), sees_pixels=False)
    return baselines


def parse_labels(text: str) -> dict[str, str]:
    """From "fake=full_synthetic,nature=real". Raises ConfigError."""
    labels: dict[str, str] = {}
    for part in text.split(","):
        word, equals, label = (text.strip() for text in part.partition("="))
        if not equals or not word or label not in (*LABELS, NOT_REAL):
            raise ConfigError(
                f"a label is mapped by {part!r}, expected WORD=CLASS with one of "
                f"{', '.join((*LABELS, NOT_REAL))}"
            )
        labels[word.lower()] = label
    return labels


def _name(source: str, target: str) -> str:
    """The name of a baseline: its model, its script or its file."""
    if source == "command":
        words = _words(target)
        target = next((word for word in reversed(words) if Path(word).is_file()), words[0])
    path = Path(target.rstrip("/"))
    return path.name if source == "hf" else path.stem


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"the command {command!r} cannot be split into words: {error}") from error
    if not words:
        raise ConfigError("the command is empty, expected a program that takes a picture's path")
    return words


def _verdict(
    size: tuple[int, int], shares: Floats, says: Says, model: ModelInfo
) -> BaselineVerdict:
    """A verdict of (3,) probabilities for a picture of (height, width).

    What is no more than not real stands with the fully synthetic, so that the largest decides.
    """
    shares = shares / shares.sum()
    if says == "real_or_not":
        shares = np.array([shares[0], shares[1:].sum(), 0.0])
    return BaselineVerdict(
        width=size[1],
        height=size[0],
        label=LABELS[int(shares.argmax())],
        probabilities=Probabilities(**dict(zip(LABELS, map(float, shares), strict=True))),
        model=model,
        seconds=0.0,
        says=says,
    )


def _failed(message: str) -> Failure:
    return Failure(error="unreadable_image", message=message)


# ---- a model of transformers


class HubPredictor:
    """A Hugging Face image-classification model; only safetensors are read, no code of theirs."""

    def __init__(self, name: str, labels: Mapping[str, str], device: str, called: str) -> None:
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        from sida.inference.device import resolve

        self._device, _ = resolve(device, "float32")
        try:
            self._processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
            self._model = AutoModelForImageClassification.from_pretrained(
                name, trust_remote_code=False, use_safetensors=True
            )
        except Exception as error:  # transformers raises whatever its libraries do
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CheckpointError(
                f"{name!r} cannot be loaded as an image-classification model ({reason}): give a "
                "folder or a name on the hub with a config, a processor and safetensors"
            ) from error
        self._model.to(self._device).eval()
        self._columns, self._says = _columns(self._model.config.id2label, labels, name)
        self._info = ModelInfo(name=called, version="hf", digest=self._digest())

    @property
    def model(self) -> ModelInfo:
        """Its name and the digest of its weights."""
        return self._info

    def _digest(self) -> str:
        # The mapping of labels is part of what the baseline is.
        digest = hashlib.sha256(repr(self._columns).encode())
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()

    def __call__(
        self, samples: Sequence[Sample], pictures: Sequence[PictureSource]
    ) -> Iterator[Verdict | Failure]:
        """A result for each picture, in order."""
        for start in range(0, len(pictures), BATCH):
            yield from self._batch(pictures[start : start + BATCH])

    def _batch(self, pictures: Sequence[PictureSource]) -> list[Verdict | Failure]:
        read = [_read(picture) for picture in pictures]
        pixels = [item for item in read if not isinstance(item, Failure)]
        scores = iter(self._scores(pixels) if pixels else ())
        return [
            item if isinstance(item, Failure) else self._result(item.shape[:2], next(scores))
            for item in read
        ]

    def _scores(self, pixels: Sequence[Pixels]) -> Floats:
        """(pictures, outputs) probabilities."""
        import torch
        from PIL import Image

        images = [Image.fromarray(image) for image in pixels]
        inputs = self._processor(images=images, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            logits = self._model(**inputs).logits
        probabilities: Floats = logits.double().softmax(-1).cpu().numpy()
        return probabilities

    def _result(self, size: tuple[int, int], scores: Floats) -> Verdict | Failure:
        if not np.isfinite(scores).all():
            return _failed(f"the model {self._info.name} gave values that are not finite")
        shares = np.asarray(np.bincount(self._columns, scores, len(LABELS)), np.float64)
        return _verdict(size, shares, self._says, self._info)


def _columns(
    words: Mapping[int, str], labels: Mapping[str, str], model: str
) -> tuple[list[int], Says]:
    """The class number of each output, and whether they are all three classes."""
    names = {number: word.strip().lower() for number, word in sorted(words.items())}
    classes_by_word = {label: label for label in LABELS} | dict(labels)
    classes = [
        classes_by_word.get(word, classes_by_word.get(word.replace(" ", "_")))
        for word in names.values()
    ]
    unknown = [words[n] for n, label in zip(names, classes, strict=True) if label is None]
    if unknown:
        raise ConfigError(
            f"the labels of {model!r} are {', '.join(words.values())}, and {', '.join(unknown)} "
            f"stand for no class: name it, such as --labels {unknown[0]!r}=full_synthetic"
        )
    if "real" not in classes or set(classes) == {"real"}:
        raise ConfigError(
            f"the labels of {model!r} ({', '.join(words.values())}) stand for "
            f"{', '.join(map(str, dict.fromkeys(classes)))}, expected real and something else"
        )
    if set(classes) == set(LABELS):
        return [_NAMES.index(str(label)) for label in classes], "classes"
    return [int(label != "real") for label in classes], "real_or_not"


def _read(picture: PictureSource) -> Pixels | Failure:
    if isinstance(picture, np.ndarray):
        return picture
    try:
        return read_picture(picture).pixels
    except PictureError as error:
        return Failure(error=error.code, message=str(error))


# ---- a command


class CommandPredictor:
    """A command that takes a picture's path as its last word, and prints a line of verdict JSON.

    No shell is used. With `"says": "real_or_not"` in its line a command says that its labels are
    no classes, with "classes" that it never locates anything.
    """

    def __init__(self, command: str, called: str, timeout: float = TIMEOUT) -> None:
        self._command, self._timeout = _words(command), timeout
        if shutil.which(self._command[0]) is None:
            raise InputError(
                f"there is no program {self._command[0]!r}: expected a command that can be run"
            )
        digest = hashlib.sha256(json.dumps(self._command).encode())
        for word in self._command[1:]:
            if Path(word).is_file():
                digest.update(Path(word).read_bytes())
        self._info = ModelInfo(name=called, version="command", digest=digest.hexdigest())

    @property
    def model(self) -> ModelInfo:
        """Its name, and the digest of the command with the files that it names."""
        return self._info

    def __call__(
        self, samples: Sequence[Sample], pictures: Sequence[PictureSource]
    ) -> Iterator[Verdict | Failure]:
        """A result for each picture, in order."""
        for picture in pictures:
            try:
                yield self._verdict_of(picture)
            except PictureError as error:
                yield Failure(error=error.code, message=str(error))
            except SidaError as error:
                yield _failed(f"the command {self._info.name}: {error}")

    def _verdict_of(self, picture: PictureSource) -> Verdict | Failure:
        pixels = _read(picture)
        if isinstance(pixels, Failure):
            return pixels
        with tempfile.TemporaryDirectory(prefix="sida-") as folder:
            if isinstance(picture, Path):
                path = picture.resolve()
            else:
                path = Path(folder) / "picture.png"
                save_png(path, pixels)
            return self._parsed(self._output(path), pixels.shape[:2])

    def _output(self, path: Path) -> bytes:
        try:
            process = subprocess.Popen(
                [*self._command, str(path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(f"it cannot be run: {error.strerror or error}") from error
        with process:
            try:
                printed, errors = _communicate(process, self._timeout)
            except BaseException:
                _end(process)
                raise
        if process.returncode:
            last = errors.decode(errors="replace").strip().splitlines()[-1:]
            raise InputError(f"it ended with status {process.returncode}: {''.join(last)[:300]}")
        return printed.strip()

    def _parsed(self, line: bytes, size: tuple[int, int]) -> Verdict | Failure:
        if line.count(b"\n"):
            count = line.count(b"\n") + 1
            raise InputError(f"it printed {count} lines, expected one")
        verdict = parse_line(line)
        if isinstance(verdict, Failure):
            return verdict
        if (verdict.height, verdict.width) != size:
            raise InputError(
                f"it says that the picture is {verdict.width} x {verdict.height}, which is "
                f"{size[1]} x {size[0]}"
            )
        mask, localization = verdict.mask, verdict.localization
        if localization is not None:
            localization = localization.model_copy(update={"file": None})
        says = _says(line)
        if says == "real_or_not":
            shares = np.array([value for _, value in verdict.probabilities.items()])
            return _verdict(size, shares, says, self._info)
        fields = {name: getattr(verdict, name) for name in Verdict.model_fields}
        fields |= {"model": self._info, "localization": localization}
        return BaselineVerdict(**fields, says=says).with_arrays(mask=mask)


def _communicate(process: subprocess.Popen[bytes], timeout: float) -> tuple[bytes, bytes]:
    """The line that a command prints, and the end of standard error, in bounded memory.

    Raises InputError where it takes too long or prints too much.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    # Both pipes are drained by threads: a command that fills one would wait for ever.
    until = time.monotonic() + timeout
    printed, errors = bytearray(), bytearray()

    def read_errors(stream: IO[bytes]) -> None:
        with suppress(ValueError, OSError):  # closed, as nobody waits any more
            while chunk := os.read(stream.fileno(), 1 << 16):
                errors.extend(chunk)
                del errors[:-ERRORS]

    def read_printed(stream: IO[bytes]) -> None:
        with suppress(ValueError, OSError):
            while len(printed) <= PRINTED and (chunk := os.read(stream.fileno(), 1 << 16)):
                printed.extend(chunk)

    readers = [
        threading.Thread(target=read, args=(stream,), daemon=True)
        for read, stream in ((read_printed, process.stdout), (read_errors, process.stderr))
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(max(0.0, until - time.monotonic()))
        if len(printed) > PRINTED:
            raise InputError(f"it printed more than {PRINTED:,} bytes, expected one line")
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise InputError(f"it took longer than {timeout:g} seconds") from error
    if any(reader.is_alive() for reader in readers):  # what it has started holds its output open
        raise InputError(f"it took longer than {timeout:g} seconds")
    return bytes(printed), bytes(errors)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a command and what it has started, which would keep its output open."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _says(line: bytes) -> Says:
    value = json.loads(line).get("says", "masks")
    if value not in ("masks", "classes", "real_or_not"):
        raise InputError(f"it says {value!r}, expected masks, classes or real_or_not")
    says: Says = value
    return says


# ---- a table of scores


class ScoresPredictor:
    """Scores that lie in a CSV: `image` with the three labels, or with `score` = not real."""

    def __init__(self, file: Path, called: str) -> None:
        self._file = file
        try:
            content = file.read_bytes()
            rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"{str(file)!r} cannot be read: {reason}") from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{str(file)!r} is not CSV in UTF-8: {error}") from error
        self._says = self._scores_mode(list(rows[0]) if rows else [])
        self._rows = dict(self._parsed(rows))
        self._used: dict[str, str] = {}
        digest = hashlib.sha256(content).hexdigest()
        self._info = ModelInfo(name=called, version="csv", digest=digest)

    @property
    def model(self) -> ModelInfo:
        """Its name and the digest of the file."""
        return self._info

    def _scores_mode(self, columns: Sequence[str]) -> Says:
        if "image" in columns and set(LABELS) <= set(columns):
            return "classes"
        if "image" in columns and "score" in columns:
            return "real_or_not"
        raise DataError(
            f"{str(self._file)!r} has the columns {', '.join(map(str, columns)) or 'none'}, "
            f"expected image and {', '.join(LABELS)}, or image and score, and a row a picture"
        )

    def _parsed(self, rows: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, Floats]]:
        names: set[str] = set()
        for number, row in enumerate(rows, 2):
            image, location = row["image"] or "", f"{str(self._file)!r}, line {number}"
            if not image or image in names:
                problem = f"a second row for {image!r}" if image else "no image"
                raise DataError(f"{location}: found {problem}, expected one row a picture")
            names.add(image)
            yield image, self._shares(row, location)

    def _shares(self, row: Mapping[str, str], location: str) -> Floats:
        columns = LABELS if self._says == "classes" else ("score",)
        try:
            values = [float(row[name]) for name in columns]
        except (TypeError, ValueError) as error:
            raise DataError(f"{location}: found no number ({error}), expected 0 to 1") from error
        if not all(math.isfinite(v) and 0 <= v <= 1 for v in values):
            raise DataError(f"{location}: found {values}, expected probabilities from 0 to 1")
        if len(values) == 1:
            values = [1 - values[0], values[0], 0.0]
        if abs(sum(values) - 1) > 1e-3:
            raise DataError(f"{location}: probabilities sum to {sum(values):.4f}, expected 1")
        return np.array(values)

    def __call__(
        self, samples: Sequence[Sample], pictures: Sequence[PictureSource]
    ) -> Iterator[Verdict | Failure]:
        """A result for each picture, in order."""
        for sample, picture in zip(samples, pictures, strict=True):
            try:
                yield self._verdict_of(sample, picture)
            except PictureError as error:
                yield Failure(error=error.code, message=str(error))

    def _verdict_of(self, sample: Sample, picture: PictureSource) -> Verdict:
        path = Path(sample.name)
        row = next((n for n in (sample.name, path.name, path.stem) if n in self._rows), None)
        if row is None:
            raise PictureError(f"{str(self._file)!r} has no row for {sample.name!r}", "not_found")
        if self._used.setdefault(row, sample.name) != sample.name:
            raise DataError(
                f"{str(self._file)!r}: the row {row!r} fits {self._used[row]!r} and "
                f"{sample.name!r}: give images as the set names them"
            )
        size = picture.shape[:2] if isinstance(picture, np.ndarray) else sample.size()
        return _verdict(size, self._rows[row], self._says, self._info)
