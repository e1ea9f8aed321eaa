"""Texts that were published apart from their set, joined to it by names."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sida.data.dataset import Dataset
from sida.data.formats.hub import Streamed
from sida.data.labels import label_of
from sida.errors import DataError
from sida.verdict import LABELS

__all__ = ["Texts", "read_texts", "texts_of", "with_descriptions"]

Texts = Mapping[tuple[str | None, str], str]
"""Texts by class, None where that is not known, and the stem of a name."""


def with_descriptions(data: Dataset, texts: Texts, source: str | Path) -> Dataset:
    """The same samples with texts of `source`, joined by class and file name or `img_id`.

    Args:
        data: a set that is here; of a streamed one, a beginning `[:n]`.

    Raises:
        DataError: there are no texts, or `data` is streamed.
    """
    if isinstance(data, Streamed):
        raise DataError(f"{data.name!r} is streamed: download it to join it with descriptions")
    if not texts:
        raise DataError(f"{str(source)!r} holds no description: expected texts by file name")
    samples, used = [], set()
    for sample in data:
        stem = _stem(sample.name)
        key = next((k for k in ((sample.label, stem), (None, stem)) if k in texts), None)
        used.add(key)
        samples.append(sample if key is None else replace(sample, description=texts[key]))
    for label, stem in texts.keys() - used:
        name = stem if label is None else f"{label}/{stem}"
        data.report.add("orphan_description", name, "no picture has this name")
    return Dataset(samples, data.report, data.name, data.split, data.layout)


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def texts_of(sets: Iterable[Dataset]) -> Texts:
    """The descriptions of sets, such as `saberzl/SID_Set_description` or a folder of splits."""
    return {
        (sample.label, _stem(sample.name)): sample.description
        for data in sets
        for sample in data
        if sample.description
    }


def read_texts(file: Path) -> Texts:
    """The texts of a JSON file; the name of one such as `tampered_GT.json` tells their class.

    Raises DataError where it holds no object of file names and texts.
    """
    label = next((name for name in LABELS if file.stem.startswith(name)), None)
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"{str(file)!r} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{str(file)!r} holds no object of file names and texts")
    return {
        (label_of(label) if label else None, _stem(key)): text
        for key, text in content.items()
        if isinstance(text, str) and text
    }
