"""The folder layout: `SPLIT/{real,full_synthetic,tampered,masks}`, as SID-Set is published.

SPLIT/real/*  SPLIT/full_synthetic/*  SPLIT/tampered/*     pictures of any format
SPLIT/masks/<stem>_mask.*                                  high = altered
SPLIT/description/{real,full_synthetic,tampered}_GT.json   picture's file name -> text
SPLIT/manifest.csv or .parquet                             image, label, source, group, …
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from sida.data.dataset import Dataset
from sida.data.formats.table import COLUMNS, find_manifest, further_cells, read_table
from sida.data.labels import Tally, label_of, unknown_label
from sida.data.problems import Report
from sida.data.sample import Sample
from sida.errors import DataError, InputError
from sida.files import Input, find_pictures
from sida.verdict import LABELS

__all__ = ["folder_splits", "is_split", "open_folder"]


def is_split(folder: Path) -> bool:
    """True if a folder holds pictures by class."""
    return any((folder / label).is_dir() for label in LABELS)


def folder_splits(root: Path) -> list[str]:
    """Names of the splits below a folder, in alphabetical order."""
    return sorted(below.name for below in root.iterdir() if below.is_dir() and is_split(below))


def open_folder(
    folder: Path,
    name: str,
    split: str | None = None,
    masks_in: tuple[str, ...] = ("masks",),
    columns: tuple[str, ...] | None = COLUMNS,
) -> Dataset:
    """The samples of one split folder, class by class, in natural order of their names.

    Args:
        folder: the split's.
        name: as the user named the set.
        split: the split's name.
        masks_in: folders to look for masks in; those of the first one go first.
        columns: of its manifest; None for all, which puts further ones into `Sample.more`.

    Raises:
        DataError: the folder holds no picture, or a picture and a mask cannot be told which
            belongs to which: two files for one mask, or two pictures with one.
    """
    report = Report()
    pictures: dict[str, list[Input]] = {label: _pictures(folder / label) for label in LABELS}
    if not any(pictures.values()):
        raise DataError(
            f"{name!r} holds no picture: its folders {_joined(LABELS)} are empty, expected "
            "pictures in them"
        )
    masks: dict[str, Path] = {}
    for below in reversed(masks_in):
        masks |= _match_masks(folder / below, pictures, report)
    texts = _descriptions(folder, pictures, report)
    rows = _manifest(folder, pictures, columns, report)
    samples = [
        sample
        for label in LABELS
        for item in pictures[label]
        if (sample := _sample(item, label, masks, texts, rows, report)) is not None
    ]
    Tally.of(row.get("label") for row in rows.values()).require_known(f"the manifest of {name!r}")
    return Dataset(samples, report, name, split, "folder")


def _pictures(folder: Path) -> list[Input]:
    try:
        return find_pictures([folder]) if folder.is_dir() else []
    except InputError:  # no picture in it
        return []


def _sample_name(label: str, item: Input) -> str:
    return f"{label}/{item.relative}"


def _sample(
    item: Input,
    label: str,
    masks: Mapping[str, Path],
    texts: Mapping[str, str],
    rows: Mapping[str, Mapping[str, Any]],
    report: Report,
) -> Sample | None:
    """Sample of a picture; None where the manifest says something else than the folder."""
    name = _sample_name(label, item)
    row = rows.get(name, {})
    if _conflict(row, name, label, report):
        return None
    if label == "tampered" and name not in masks:
        report.add(
            "missing_mask",
            name,
            f"it has no mask: expected masks/{item.relative.stem}_mask.png; it is used for its "
            "class alone",
        )
    return Sample(
        item.path,
        label,
        masks.get(name),
        texts.get(name) or row.get("description"),
        row.get("source"),
        row.get("group"),
        name,
        more=further_cells(row),
        report=report,
    )


def _conflict(row: Mapping[str, Any], name: str, label: str, report: Report) -> bool:
    stated = row.get("label")
    if stated is None or (label_found := label_of(stated)) == label:
        return False
    if label_found is None:
        report.add("unknown_label", name, unknown_label(stated))
    else:
        report.add(
            "label_conflict", name, f"the manifest says {label_found}, its folder {label}: not used"
        )
    return True


def _match_masks(
    folder: Path, pictures: Mapping[str, list[Input]], report: Report
) -> dict[str, Path]:
    """The mask of each tampered picture by the picture's name; the others are reported."""
    by_stem = _by_stem(_pictures(folder), folder.name)
    owners = defaultdict(list)
    for item in pictures["tampered"]:
        if (key := _mask_key(item.relative, by_stem)) is not None:
            owners[key].append(item)
    for key, items in owners.items():
        if len(items) > 1:
            names = _joined(_sample_name("tampered", item) for item in items)
            raise DataError(
                f"{names} share the one mask {folder.name}/{by_stem[key].relative}: expected one "
                "picture for each mask; name masks <file name>_mask.png, such as "
                f"{items[0].relative.name}_mask.png"
            )
    _report_spare_masks(folder.name, by_stem, owners, pictures, report)
    return {_sample_name("tampered", items[0]): by_stem[key].path for key, items in owners.items()}


def _by_stem(masks: Iterable[Input], below: str) -> dict[str, Input]:
    """Masks by their place without suffix; two that differ in the suffix alone are an error."""
    by_stem: dict[str, Input] = {}
    for item in masks:
        key = str(item.relative.with_suffix(""))
        if key in by_stem:
            raise DataError(
                f"{below}/{by_stem[key].relative} and {below}/{item.relative} are two files for "
                "one mask: expected one; remove the other"
            )
        by_stem[key] = item
    return by_stem


def _mask_key(picture: PurePosixPath, masks: Mapping[str, Input]) -> str | None:
    """The key in `masks` of a picture's mask: beside it in its own folder, or in one for all."""
    for candidate in (picture, PurePosixPath(picture.name)):
        for stem in (candidate.name, candidate.stem):
            if (key := str(candidate.with_name(f"{stem}_mask"))) in masks:
                return key
    return None


def _report_spare_masks(
    below: str,
    masks: Mapping[str, Input],
    used: Mapping[str, object],
    pictures: Mapping[str, list[Input]],
    report: Report,
) -> None:
    other_classes = {
        key: _sample_name(label, item)
        for label in LABELS
        if label != "tampered"
        for item in pictures[label]
        if (key := _mask_key(item.relative, masks)) is not None
    }
    for key, item in masks.items():
        name = f"{below}/{item.relative}"
        if key in used:
            continue
        if key in other_classes:
            report.add(
                "unused_mask", name, f"it belongs to {other_classes[key]}, which is not tampered"
            )
        else:
            report.add("orphan_mask", name, "it belongs to no picture in tampered/: not used")


def _descriptions(
    folder: Path, pictures: Mapping[str, list[Input]], report: Report
) -> dict[str, str]:
    """Texts by the name of their picture."""
    texts: dict[str, str] = {}
    for label in LABELS:
        file = folder / "description" / f"{label}_GT.json"
        if not file.is_file():
            continue
        by_name = {item.relative.name: _sample_name(label, item) for item in pictures[label]}
        stems = {item.relative.stem: _sample_name(label, item) for item in pictures[label]}
        for key, text in _read_texts(file, report).items():
            base = PurePosixPath(key)
            if sample_name := by_name.get(base.name) or stems.get(base.stem):
                texts[sample_name] = text
            else:
                report.add("orphan_description", f"{label}/{key}", "no picture has this name")
    return texts


def _read_texts(file: Path, report: Report) -> dict[str, str]:
    name = f"description/{file.name}"
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        report.add("unreadable_description", name, f"it is not JSON ({error}): not used")
        return {}
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        expected = "expected an object of file names and texts"
        report.add("unreadable_description", name, f"it holds something else: {expected}")
        return {}
    return content


def _manifest(
    folder: Path,
    pictures: Mapping[str, list[Input]],
    columns: tuple[str, ...] | None,
    report: Report,
) -> dict[str, Mapping[str, Any]]:
    """Rows of the manifest inside the folder by the name of their picture."""
    file = find_manifest(folder)
    if file is None:
        return {}
    sample_names = {_sample_name(label, item) for label in LABELS for item in pictures[label]}
    rows: dict[str, Mapping[str, Any]] = {}
    for row in read_table(file, columns):
        image = str(row.get("image") or "")
        if image in sample_names:
            rows[image] = row if columns is None else {key: row.get(key) for key in columns}
        else:
            report.add("orphan_row", image or file.name, f"{file.name} names a picture not here")
    return rows


def _joined(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
