"""Trees of other published sets, read as they are unpacked; `docs/data.md` shows each.

A tree is recognised by its folders alone. Synthetic pictures of sets of real and fake ones are
`full_synthetic`, since those sets hold nothing else; forgeries of sets with masks are `tampered`.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sida.data.dataset import Dataset, choose_split
from sida.data.report import Report
from sida.data.sample import Sample, Stored
from sida.data.table import find_manifest
from sida.errors import DataError, InputError
from sida.files import find_pictures
from sida.image.read import read_mask
from sida.verdict import LABELS

__all__ = ["is_layout", "layout_splits", "open_layout"]

REAL = ("real", "nature", "0_real")
FAKE = ("fake", "ai", "1_fake")
SPLITS = ("train", "val", "validation", "test")
SYNTHBUSTER = (
    *("dalle2", "dalle3", "firefly", "glide", "midjourney-v5", "stable-diffusion-1-3"),
    *("stable-diffusion-1-4", "stable-diffusion-2", "stable-diffusion-xl"),
)


@dataclass(frozen=True)
class Layout:
    """A form of tree: whether a folder has it, its splits, and the samples of one of them."""

    name: str
    fits: Callable[[Path], bool]
    samples: Callable[[Path, Report, str | None], Iterator[Sample]]
    splits: Callable[[Path], list[str]] = lambda root: []


@dataclass(frozen=True)
class Inverted:
    """A mask whose dark pixels are the altered ones, turned round as it is read."""

    path: Path

    def read_bytes(self) -> bytes:
        """A PNG, bright = altered. Raises PictureError."""
        stream = io.BytesIO()
        Image.fromarray(255 - read_mask(self.path)).save(stream, "PNG")
        return stream.getvalue()


def is_layout(root: Path) -> bool:
    """Whether a folder is one of these trees."""
    return find_manifest(root) is None and any(layout.fits(root) for layout in LAYOUTS)


def layout_splits(root: Path) -> list[str]:
    """The names of the splits in such a tree."""
    return _layout(root).splits(root)


def open_layout(root: Path, name: str, split: str | None = None) -> Dataset:
    """The samples of a tree that `is_layout` recognises.

    Raises:
        DataError: it holds no picture, or another split is asked for than it has.
    """
    layout = _layout(root)
    if splits := layout.splits(root):
        split = choose_split(name, splits, split)
    elif split is not None:
        raise DataError(f"{name!r} is laid out as {layout.name} and has no splits: leave out split")
    report = Report()
    samples = list(layout.samples(root, report, split))
    if not samples:
        raise DataError(f"{name!r} is laid out as {layout.name} and holds no picture")
    samples.sort(key=lambda sample: LABELS.index(sample.label))
    return Dataset(samples, report, name, split, layout.name)


def _layout(root: Path) -> Layout:
    return next(layout for layout in LAYOUTS if layout.fits(root))


def _folder(root: Path, *names: str) -> Path | None:
    """The first folder of one of these names below another, whatever its case."""
    if not root.is_dir():
        return None
    below = {item.name.lower(): item for item in sorted(root.iterdir()) if item.is_dir()}
    return next((below[name] for name in names if name in below), None)


def _pictures(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    try:
        return [item.path for item in find_pictures([folder])]
    except InputError:  # no picture in it
        return []


def _masks(folder: Path | None, ending: str = "") -> dict[str, Path]:
    """Masks by the stem of the picture that they belong to."""
    return {path.stem.removesuffix(ending): path for path in _pictures(folder)}


def _sample(
    path: Path,
    root: Path,
    label: str,
    report: Report,
    *,
    source: str,
    group: str | None = None,
    mask: Stored | None = None,
    masked: bool = False,
) -> Sample:
    name = path.relative_to(root).as_posix()
    if masked and mask is None:
        report.add("missing_mask", name, "it has no mask; it is used for its class alone")
    return Sample(path, label, mask, source=source, group=group, name=name, report=report)


# ---- real and fake, by generator


def _pairs(root: Path) -> list[tuple[Path, Path, tuple[str, ...]]]:
    """(real, fake, folders on the way) of the root and up to three folders below it."""
    found = []
    waiting: list[tuple[Path, tuple[str, ...]]] = [(root, ())]
    while waiting:
        place, way = waiting.pop(0)
        real, fake = _folder(place, *REAL), _folder(place, *FAKE)
        if real is not None and fake is not None:
            found.append((real, fake, way))
        elif len(way) < 3 and not any((place / label).is_dir() for label in LABELS):
            below = sorted(item for item in place.iterdir() if item.is_dir())
            waiting += [(item, (*way, item.name)) for item in below]
    return found


def _has_pairs(root: Path) -> bool:
    ours = any((root / label).is_dir() for label in ("full_synthetic", "tampered"))
    return not ours and bool(_pairs(root))


def _is_coverage(root: Path) -> bool:
    folders = _folder(root, "image"), _folder(root, "mask")
    return None not in folders and any(
        re.fullmatch(r"\d+t", path.stem) for path in _pictures(folders[0])
    )


def _pair_splits(root: Path) -> list[str]:
    ways = {step for _, _, way in _pairs(root) for step in way if step.lower() in SPLITS}
    return sorted(ways)


def _pair_samples(root: Path, report: Report, split: str | None) -> Iterator[Sample]:
    for real, fake, way in _pairs(root):
        if split is not None and split not in way:
            continue
        generator = next((step for step in way if step.lower() not in SPLITS), root.name)
        for label, folder in (("real", real), ("full_synthetic", fake)):
            for path in _pictures(folder):
                yield _sample(path, root, label, report, source=generator)


def _is_synthbuster(root: Path) -> bool:
    below = {item.name.lower() for item in root.iterdir() if item.is_dir()}
    return bool(below & set(SYNTHBUSTER)) and below <= {*SYNTHBUSTER, *REAL}


def _synthbuster(root: Path, report: Report, split: str | None) -> Iterator[Sample]:
    for folder in sorted(item for item in root.iterdir() if item.is_dir()):
        label = "real" if folder.name.lower() in REAL else "full_synthetic"
        for path in _pictures(folder):
            # Every generator drew the same photographs again, under their names.
            yield _sample(path, root, label, report, source=folder.name, group=path.stem)


# ---- forgeries with masks


def _has(*folders: tuple[str, ...]) -> Callable[[Path], bool]:
    """Whether a tree has a folder of each of these, any of its names."""
    return lambda root: all(_folder(root, *names) is not None for names in folders)


def _casia(root: Path, report: Report, split: str | None) -> Iterator[Sample]:
    masks = _masks(_folder(root, *_CASIA_MASKS), "_gt")
    for path in _pictures(_folder(root, "au")):
        group = "".join(path.stem.split("_")[1:])  # Au_ani_00018 -> ani00018
        yield _sample(path, root, "real", report, source="casia", group=group)
    for path in _pictures(_folder(root, "tp")):
        named = re.search(r"[a-z]{3}\d{5}", path.stem)  # Tp_D_CND_M_N_ani00018_sec00096_00138
        yield _sample(
            *(path, root, "tampered", report),
            source="casia",
            group=named.group() if named else path.stem,
            mask=masks.get(path.stem),
            masked=True,
        )


def _columbia(root: Path, report: Report, split: str | None) -> Iterator[Sample]:
    """Without masks: the published ones mark two sides and not which of them was put in."""
    for names, label in ((("4cam_auth",), "real"), (("4cam_splc",), "tampered")):
        folder = _folder(root, *names)
        for path in _pictures(folder):
            if "edgemask" not in path.relative_to(root).as_posix().lower():
                yield _sample(path, root, label, report, source="columbia")


def _coverage(root: Path, report: Report, split: str | None) -> Iterator[Sample]:
    masks = _masks(_folder(root, "mask"), "forged")
    for path in _pictures(_folder(root, "image")):
        number = path.stem.removesuffix("t")  # 1.tif and its forgery 1t.tif
        tampered = path.stem != number
        yield _sample(
            *(path, root, "tampered" if tampered else "real", report),
            source="coverage",
            group=number,
            mask=masks.get(number) if tampered else None,
            masked=tampered,
        )


def _cocoglide(root: Path, report: Report, split: str | None) -> Iterator[Sample]:
    masks = _masks(_folder(root, "mask", "masks"))
    for folder, label in (("real", "real"), ("fake", "tampered")):
        for path in _pictures(_folder(root, folder)):
            tampered = label == "tampered"
            yield _sample(
                *(path, root, label, report),
                source="cocoglide",
                group=path.stem,
                mask=masks.get(path.stem) if tampered else None,
                masked=tampered,
            )


def _reference(root: Path) -> Path | None:
    """NIST's table of the manipulation task."""
    return next(iter(sorted((root / "reference").rglob("*manipulation-ref.csv"))), None)


def _nist16(root: Path, report: Report, split: str | None) -> Iterator[Sample]:
    table = _reference(root)
    assert table is not None
    with table.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="|"))
    for row in rows:
        if not {"ProbeFileName", "IsTarget"} <= row.keys():
            raise DataError(
                f"{str(table)!r} lacks the columns ProbeFileName and IsTarget, between '|': "
                "expected NIST's reference table of the manipulation task"
            )
        path, tampered = root / row["ProbeFileName"], row["IsTarget"] == "Y"
        if not path.is_file():
            report.add("orphan_row", row["ProbeFileName"], f"{table.name} names a picture not here")
            continue
        mask = root / (row.get("ProbeMaskFileName") or "")
        yield _sample(
            *(path, root, "tampered" if tampered else "real", report),
            source="nist16",
            group=Path(row.get("BaseFileName") or path.name).stem,
            mask=Inverted(mask) if tampered and mask.is_file() else None,
            masked=tampered,
        )


_CASIA_MASKS = ("casia 2 groundtruth", "casia2 groundtruth", "groundtruth", "gt")

LAYOUTS: Iterable[Layout] = (
    Layout("CASIA", _has(("au",), ("tp",)), _casia),
    Layout("Columbia", _has(("4cam_auth",), ("4cam_splc",)), _columbia),
    Layout("COVERAGE", _is_coverage, _coverage),
    Layout(
        "NIST16",
        lambda root: (root / "probe").is_dir() and _reference(root) is not None,
        _nist16,
    ),
    Layout("CocoGlide", _has(("real",), ("fake",), ("mask", "masks")), _cocoglide),
    Layout("real and fake", _has_pairs, _pair_samples, _pair_splits),
    Layout("Synthbuster", _is_synthbuster, _synthbuster),
)
