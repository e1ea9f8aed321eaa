"""Joins a set with texts that were published apart from it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sida.data.dataset import Dataset
from sida.data.formats.hub import Streamed
from sida.data.labels import label_of
from sida.errors import DataError
from sida.verdict import LABELS

__all__ = ["with_descriptions"]

Key = tuple[str | None, str]  # the class, or None where it is not known, and the name's stem


def with_descriptions(data: Dataset, source: str | Path) -> Dataset:
    """The same samples with the texts of `source`, joined by class and file name or `img_id`.

    Args:
        data: a set that is here; of a streamed one, a beginning `[:n]`.
        source: a set with descriptions (`saberzl/SID_Set_description`, a folder of splits, …), or a
            JSON file of file names and texts, such as `real_GT.json`.

    Raises:
        DataError: `source` has no descriptions, or `data` is streamed.
    """
    if isinstance(data, Streamed):
        raise DataError(f"{data.name!r} is streamed: download it to join it with descriptions")
    texts = _texts(source)
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


def _texts(source: str | Path) -> Mapping[Key, str]:
    path = Path(source)
    if path.suffix.lower() == ".json":
        return _json_texts(path)
    from sida.data.opening import open, splits_of

    splits: list[str | None] = [*splits_of(source)]
    return {
        (sample.label, _stem(sample.name)): sample.description
        for split in splits or [None]
        for sample in open(source, split)
        if sample.description
    }


def _json_texts(file: Path) -> dict[Key, str]:
    """Of a file such as `tampered_GT.json`, whose name says the class, or of any other."""
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
