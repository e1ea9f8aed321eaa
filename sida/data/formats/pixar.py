"""The PIXAR layout: folders by class, with maps of differences in place of masks.

SPLIT/{real,full_synthetic,tampered}/*
SPLIT/soft_masks/<stem>_mask.png     how far each pixel is from the original: 0 to 255
SPLIT/masks/<stem>_mask.png          the same cut at the publishers' threshold; stands in
SPLIT/metadata/<stem>_cls.json       {"cls": ["person", …], "text": "…"}
mapping.json                         beside the splits: tampered name -> {"entry", "real", …}
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from sida.data.dataset import Dataset
from sida.data.formats.folder import open_folder
from sida.data.formats.table import COLUMNS
from sida.data.problems import Report
from sida.data.sample import Sample
from sida.errors import ConfigError

__all__ = ["TAU", "is_pixar", "open_pixar"]

TAU = 0.05  # what its publishers recommend


def is_pixar(folder: Path) -> bool:
    """True if a split folder is of this layout."""
    return (folder / "soft_masks").is_dir()


def open_pixar(
    folder: Path,
    name: str,
    split: str | None = None,
    tau: float = TAU,
    columns: tuple[str, ...] | None = COLUMNS,
) -> Dataset:
    """The samples of one split; a pixel is altered where its difference exceeds `tau` (0 to 1).

    Tampered pictures without a map keep their published mask; texts come from `metadata/`, groups
    from `mapping.json`. `columns` as for `open_folder`.

    Raises:
        DataError: as `open_folder`.
        ConfigError: `tau` is not in 0 to 1.
    """
    if not 0 <= tau < 1:
        raise ConfigError(
            f"tau is {tau}, expected a share from 0 to below 1, such as {TAU}: differences above "
            "it count as altered"
        )
    opened = open_folder(folder, name, split, ("soft_masks", "masks"), columns)
    groups = _groups(folder)
    samples = [_finished(sample, folder, tau, groups, opened.report) for sample in opened]
    return Dataset(samples, opened.report, name, split, "pixar")


def _finished(
    sample: Sample, folder: Path, tau: float, groups: Mapping[str, str], report: Report
) -> Sample:
    file_name = PurePosixPath(sample.name).name
    soft = isinstance(sample.mask, Path) and sample.mask.is_relative_to(folder / "soft_masks")
    return replace(
        sample,
        tau=tau if soft else None,
        description=sample.description or _text(folder, sample, report),
        group=sample.group or groups.get(file_name),
    )


def _text(folder: Path, sample: Sample, report: Report) -> str | None:
    stem = PurePosixPath(sample.name).stem
    candidates = (folder / "metadata" / f"{stem}{end}.json" for end in ("_cls", ""))
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None or sample.label != "tampered":
        return None
    text = _json_object(file, f"metadata/{file.name}", report).get("text")
    return text if isinstance(text, str) and text else None


def _groups(folder: Path) -> dict[str, str]:
    """Group by file name, of tampered pictures and of the real ones they were made from."""
    candidates = (folder / "mapping.json", folder.parent / "mapping.json")
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    groups: dict[str, str] = {}
    content = {} if file is None else _json_object(file, file.name, Report())
    for tampered, entry in content.items():
        if isinstance(entry, dict) and "entry" in entry:
            groups[tampered] = str(entry["entry"])
            if isinstance(entry.get("real"), str):
                groups[entry["real"]] = str(entry["entry"])
    return groups


def _json_object(file: Path, name: str, report: Report) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        report.add("unreadable_description", name, f"it is not JSON ({error}): not used")
        return {}
    return content if isinstance(content, dict) else {}
