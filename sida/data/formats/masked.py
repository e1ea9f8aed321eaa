"""Other data sets' trees of pictures and masks: who is tampered, and which mask is whose.

Each is a row of `MASKED`: folders, and patterns of file names. A pattern's `key` joins a mask to
its picture, `group` a forgery to its original, `donor` to the one that a part was taken from.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sida.data.problems import Report
from sida.data.sample import Sample, Stored
from sida.errors import DataError, InputError, PictureError
from sida.files import Input, find_pictures, natural_key
from sida.image.perturbation import encode
from sida.image.read import read_mask, read_picture
from sida.image.truth_mask import read_truth_mask

__all__ = [
    "MASKED",
    "MaskedLayout",
    "RemadeMask",
    "black_is_altered",
    "folder_below",
    "folders",
    "pictures",
]

Levels = Callable[[Path], NDArray[np.uint8]]


@dataclass(frozen=True)
class RemadeMask:
    """A mask that is published in another form, as the bytes of a mask with high = altered."""

    path: Path
    levels: Levels

    def read_bytes(self) -> bytes:
        """PNG of the mask. Raises PictureError where the file is not what it should be."""
        return encode(self.levels(self.path), "PNG")

    def __str__(self) -> str:
        return str(self.path)


def black_is_altered(path: Path) -> NDArray[np.uint8]:
    """(height, width) uint8 of a mask that is dark where its picture was altered."""
    mask = read_truth_mask(path)
    # Grey levels go on as they are, so that whoever reads them says how they were cut.
    return 255 - (read_mask(path) if mask.is_cut else mask.levels)


def green_is_altered(path: Path) -> NDArray[np.uint8]:
    """(height, width) uint8 of one of Columbia's masks: red and green, in two brightnesses each.

    They are JPEG, so the larger channel decides. Raises PictureError where there is no colour.
    """
    pixels = read_picture(path).pixels.astype(np.int16)
    green = pixels[..., 1] - pixels[..., 0]
    if not (abs(green) > 64).any():
        raise PictureError(f"{str(path)!r} is neither red nor green, expected one of Columbia's")
    return np.where(green > 0, 255, 0).astype(np.uint8)


@dataclass(frozen=True)
class LayoutPart:
    """A folder, and what the names in it say, without their suffix."""

    folder: str
    names: str = r"(?P<group>(?P<key>.+))"

    def groups_of(self, item: Input) -> Mapping[str, str | None] | None:
        """The groups of the pattern; None where a name is of another kind."""
        match = re.fullmatch(self.names, item.relative.stem)
        return None if match is None else match.groupdict()


@dataclass(frozen=True)
class MaskedLayout:
    """A published tree of real and tampered pictures with masks.

    Attributes:
        name, tree: of the set, for people.
        real, tampered: where pictures are.
        masks: where masks may be; what the pattern does not know is none.
        by_names: whether the folders' names say too little, and the files' names must fit.
        without: a folder below those of pictures that holds none.
        generator: what altered the pictures.
        levels: reads masks in which high is not altered.
    """

    name: str
    tree: str
    real: LayoutPart
    tampered: LayoutPart
    masks: tuple[LayoutPart, ...]
    by_names: bool = False
    without: str = ""
    generator: str | None = None
    levels: Levels | None = None

    def fits(self, root: Path) -> bool:
        """True if a folder is such a tree; masks may be missing where the rest says enough."""
        if folder_below(root, self.real.folder) is None:
            return False
        if folder_below(root, self.tampered.folder) is None:
            return False
        if not self.by_names:
            return True
        masks = (part for part in self.masks if any(_matches(root, part)))
        return any(_matches(root, self.tampered)) and next(masks, None) is not None

    def splits(self, root: Path) -> list[str]:
        """None: these sets are published in one piece."""
        return []

    def samples(self, root: Path, split: str | None, names: object, report: Report) -> list[Sample]:
        """Real pictures, then tampered ones. Raises DataError where a mask has two owners."""
        masks = self._masks(root)
        samples = [
            self._sample(*entry, "real", {}, report) for entry in self._pictures(root, "real")
        ]
        owners: dict[str, Input] = {}
        for item, groups in self._pictures(root, "tampered"):
            key = _key(item, groups)
            if key in masks and owners.setdefault(key, item) is not item:
                raise DataError(
                    f"{owners[key].path} and {item.path} share the one mask {masks[key].path}: "
                    "expected one picture for each; remove the other"
                )
            samples.append(self._sample(item, groups, "tampered", masks, report))
        for key in masks.keys() - owners.keys():
            mask_name = masks[key].path.relative_to(root).as_posix()
            report.add("orphan_mask", mask_name, "it belongs to no tampered picture: not used")
        return [sample for sample in samples if sample is not None]

    def _pictures(
        self, root: Path, label: str
    ) -> Iterator[tuple[Input, Mapping[str, str | None] | None]]:
        part, other = self.real, self.tampered
        if label == "tampered":
            part, other = other, part
        for item in pictures(folder_below(root, part.folder)):
            groups = part.groups_of(item)
            is_others = part.folder == other.folder and groups is None and other.groups_of(item)
            if not is_others and self.without not in item.relative.parts[:-1]:
                yield item, groups

    def _masks(self, root: Path) -> dict[str, Input]:
        masks: dict[str, Input] = {}
        for part in self.masks:
            for item, groups in _matches(root, part):
                key = _key(item, groups)
                if key in masks and masks[key].path != item.path:
                    raise DataError(
                        f"{masks[key].path} and {item.path} are two files for one mask: expected "
                        "one; remove the other"
                    )
                masks[key] = item
        return masks

    def _sample(
        self,
        item: Input,
        groups: Mapping[str, str | None] | None,
        label: str,
        masks: Mapping[str, Input],
        report: Report,
    ) -> Sample | None:
        part = self.real if label == "real" else self.tampered
        name = f"{part.folder}/{item.relative}"
        if groups is None and self.by_names:
            if label == "real" or part.folder != self.real.folder:
                reason = f"its name is none that {self.name} has ({self.tree}): not used"
                report.add("unknown_label", name, reason)
            return None
        mask = masks.get(_key(item, groups))
        if label == "tampered" and mask is None:
            reason = f"no mask of its name was found ({self.tree}); it is used for its class alone"
            report.add("missing_mask", name, reason)
        fields = groups or {}
        cells = {"donor_group": _plain(fields.get("donor")), "generator": self.generator}
        return Sample(
            item.path,
            label,
            self._stored(mask),
            group=_plain(fields.get("group")),
            name=name,
            more={} if label == "real" else {key: value for key, value in cells.items() if value},
            report=report,
        )

    def _stored(self, mask: Input | None) -> Stored | None:
        if mask is None:
            return None
        return mask.path if self.levels is None else RemadeMask(mask.path, self.levels)


def folder_below(root: Path, relative: str) -> Path | None:
    """The folder that is called so in any case; None where there is none."""
    if (root / relative).is_dir():
        return root / relative
    return next(
        (item for item in folders(root) if item.name.casefold() == relative.casefold()), None
    )


def folders(root: Path) -> list[Path]:
    """Those in a folder that are not hidden, by name; none where it may not be looked into."""
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if entry.is_dir() and entry.name[0] != "."]
    except OSError:
        return []
    return [root / name for name in sorted(names, key=natural_key)]


def pictures(folder: Path | None) -> list[Input]:
    """The pictures below a folder, in natural order; none where it has none, or is not there."""
    with suppress(InputError):
        return [] if folder is None else find_pictures([folder])
    return []


def _matches(root: Path, part: LayoutPart) -> Iterator[tuple[Input, Mapping[str, str | None]]]:
    for item in pictures(folder_below(root, part.folder)):
        if (groups := part.groups_of(item)) is not None:
            yield item, groups


def _key(item: Input, groups: Mapping[str, Any] | None) -> str:
    return str((groups or {}).get("key") or item.relative.stem)


def _plain(name: str | None) -> str | None:
    """`ani_00001` of an original and `ani00001` of its forgery are the same."""
    return None if name is None else name.replace("_", "")


_NUMBERED = r"[a-z]{3}_?[0-9]{4,5}"  # four digits in version 1
MASKED = (
    MaskedLayout(
        "CASIA",
        "Au/, Tp/, 'CASIA 2 Groundtruth/NAME_gt.png' or 'CASIA 1.0 groundtruth/NAME_gt.png'",
        real=LayoutPart("Au", rf"Au_(?P<group>{_NUMBERED}).*"),
        tampered=LayoutPart(
            "Tp", rf"(?P<key>.+_(?P<group>{_NUMBERED})_(?P<donor>{_NUMBERED})_[0-9]+)"
        ),
        masks=(
            LayoutPart("CASIA 2 Groundtruth", r"(?P<key>.+)_gt"),
            LayoutPart("CASIA 1.0 groundtruth", r"(?P<key>.+)_gt"),
        ),
    ),
    MaskedLayout(
        "Columbia",
        "4cam_auth/, 4cam_splc/, 4cam_splc/edgemask/NAME_edgemask.jpg",
        real=LayoutPart("4cam_auth", r"(?P<key>.+)"),
        tampered=LayoutPart("4cam_splc", r"(?P<key>.+)"),
        masks=(
            LayoutPart("4cam_splc", r"(?P<key>.+)_edgemask"),
            LayoutPart("edgemask", r"(?P<key>.+)_edgemask"),
        ),
        without="edgemask",
        levels=green_is_altered,
    ),
    MaskedLayout(
        "Coverage",
        "image/N.tif, image/Nt.tif, mask/Nforged.tif",
        real=LayoutPart("image", r"(?P<group>[0-9]+)"),
        tampered=LayoutPart("image", r"(?P<key>(?P<group>[0-9]+))t"),
        masks=(LayoutPart("mask", r"(?P<key>[0-9]+)forged"),),
        by_names=True,
    ),
    MaskedLayout(
        "CocoGlide",
        "real/WORD_N.png, fake/glide_inpainting_val2017_N_up.png, mask/WORD_N_mask.png",
        real=LayoutPart("real", r".+_(?P<group>[0-9]+)"),
        tampered=LayoutPart("fake", r"glide_inpainting_val2017_(?P<key>(?P<group>[0-9]+))_up"),
        masks=(LayoutPart("mask", r".+_(?P<key>[0-9]+)_mask"),),
        by_names=True,
        generator="GLIDE",
    ),
    MaskedLayout(
        "real, fake and masks",
        "real/NAME.png, fake/NAME.png, mask/NAME.png or mask/NAME_mask.png",
        real=LayoutPart("real"),
        tampered=LayoutPart("fake"),
        masks=(
            LayoutPart("mask", r"(?P<key>.+?)(_mask|_gt)?"),
            LayoutPart("masks", r"(?P<key>.+?)(_mask|_gt)?"),
        ),
        by_names=True,
    ),
)
"""Every known tree with masks whose names say all."""
