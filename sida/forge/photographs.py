"""The photographs that a set is forged from: a bare folder, or the real pictures of a labelled set.

With them come, where the source has them, masks of objects and captions.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sida.data import open as open_data
from sida.data.formats.folder import is_split
from sida.data.formats.layouts import known_layout
from sida.data.formats.table import find_manifest
from sida.data.opening import splits_of
from sida.data.sample import Stored, stored_bytes
from sida.errors import DataError, InputError, PictureError
from sida.files import find_pictures
from sida.image.read import Picture, read_mask, read_picture
from sida.verdict import LABELS

__all__ = ["Object", "Photograph", "digest", "find_photographs", "read_captions"]


@dataclass(frozen=True)
class Object:
    """The mask of something in a photograph: a file, levels of a file, or polygons.

    Attributes:
        word: what it is, where that is known.
        file: of the mask; `level` picks one of its levels, else all above 0 count.
        polygons: x, y, x, y, … in pixels, each; used where there is no file.
    """

    word: str | None
    file: Path | None = None
    level: int | None = None
    polygons: tuple[tuple[float, ...], ...] = ()

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """(height, width) bool. Raises PictureError where the file is of another size or broken."""
        if self.file is not None:
            levels = read_mask(self.file, (height, width))
            return levels > 0 if self.level is None else levels == self.level
        image = Image.new("1", (width, height))
        draw = ImageDraw.Draw(image)
        for polygon in self.polygons:
            draw.polygon(polygon, fill=1)
        return np.array(image)


@dataclass(frozen=True)
class Photograph:
    """A real picture; nothing is read before `read`.

    Attributes:
        picture: the file, or what holds its bytes.
        name: as the set calls it; unlike any other's.
        group: shared by pictures that have an original in common.
        source: where it comes from.
    """

    picture: Stored | bytes
    name: str
    group: str
    source: str
    caption: str | None = None
    objects: tuple[Object, ...] = field(default=(), repr=False)

    def read(self) -> Picture:
        """The picture. Raises PictureError."""
        source = self.picture if isinstance(self.picture, Path) else stored_bytes(self.picture)
        return read_picture(source, name=self.name)


def find_photographs(
    path: Path | None, objects: Path | None = None, captions: Path | None = None
) -> list[Photograph]:
    """All photographs below a path, in a stable order.

    Args:
        path: a folder of pictures, each a group of its own; or a labelled set, whose real pictures
            are taken with their groups and sources; or the folder `real` of such a set.
        objects: `<stem>_<word>.png` or `<stem>.png` (a level an object), or COCO's annotations.
        captions: as `read_captions` reads it.

    Raises:
        InputError, DataError: there is no photograph; the text says what was found and expected.
    """
    if path is None:
        raise InputError(
            "no photographs were named: give photographs=FOLDER, or a folder in the configuration"
        )
    if not path.exists():
        raise InputError(f"photographs: {str(path)!r} was not found: check the path")
    photographs = _labelled(path) or _bare(path)
    objects_by_stem = _objects(objects) if objects else {}
    captions_by_name, _ = read_captions(captions) if captions else ({}, [])
    return [
        replace(
            photograph,
            caption=captions_by_name.get(Path(photograph.name).name),
            objects=tuple(objects_by_stem.get(Path(photograph.name).stem, ())),
        )
        for photograph in photographs
    ]


def _labelled(path: Path) -> list[Photograph]:
    """The real pictures of a labelled set; none where the path is a bare folder."""
    root = path
    if path.is_dir() and not is_split(path) and known_layout(path) is None:
        if path.name in LABELS and is_split(path.parent) and known_layout(path.parent) is None:
            root = path.parent
            if path.name != "real":
                raise DataError(
                    f"{str(path)!r} holds the pictures of a labelled set that are {path.name}, "
                    f"expected real ones: give {str(root / 'real')!r}, or photographs of your own"
                )
        elif not (find_manifest(path) or splits_of(path) or any(path.glob("*.parquet"))):
            return []
    samples = [sample for sample in open_data(root) if sample.label == "real"]
    if not samples:
        raise DataError(f"{str(path)!r} is a labelled set without real pictures: expected some")
    return [
        Photograph(
            sample.picture, sample.name, sample.group or sample.name, sample.source or root.name
        )
        for sample in samples
    ]


def _bare(path: Path) -> list[Photograph]:
    return [
        Photograph(item.path, str(item.relative), str(item.relative), path.resolve().name)
        for item in find_pictures([path])
    ]


def digest(photographs: Sequence[Photograph]) -> str:
    """Of names, groups and file sizes: tells whether a run goes on with the same photographs."""
    hasher = hashlib.sha256()
    for photograph in photographs:
        path = photograph.picture if isinstance(photograph.picture, Path) else None
        # Sizes instead of contents, which would be read whole before a run starts.
        size = path.stat().st_size if path is not None and path.exists() else -1
        hasher.update(
            json.dumps([photograph.name, photograph.group, photograph.source, size]).encode()
        )
    return hasher.hexdigest()


def _objects(path: Path) -> Mapping[str, list[Object]]:
    """Objects by the stem of their photograph."""
    if path.is_file():
        return _coco_objects(_json(path, "objects"))
    objects_by_stem: defaultdict[str, list[Object]] = defaultdict(list)
    for item in find_pictures([path]):
        stem, _, word = item.path.stem.rpartition("_")
        if stem:
            objects_by_stem[stem].append(Object(word.replace("-", " "), item.path))
        objects_by_stem[item.path.stem] += _levels(item.path)
    return objects_by_stem


def _levels(file: Path) -> list[Object]:
    try:
        levels = np.unique(read_mask(file))
    except PictureError:
        return []
    return [Object(None, file, int(level)) for level in levels if level]


def _coco_objects(content: Any) -> Mapping[str, list[Object]]:
    """Annotations with polygons; those of crowds, which are run-length coded, are left out."""
    try:
        names = {image["id"]: Path(image["file_name"]).stem for image in content["images"]}
        words = {annotation["id"]: annotation["name"] for annotation in content["categories"]}
        objects_by_stem: defaultdict[str, list[Object]] = defaultdict(list)
        for annotation in content["annotations"]:
            # Crowds are a dict here: run-length coded, and no single object.
            if isinstance(annotation["segmentation"], list):
                polygons = tuple(tuple(map(float, line)) for line in annotation["segmentation"])
                word = words.get(annotation["category_id"])
                objects_by_stem[names[annotation["image_id"]]].append(
                    Object(word, polygons=polygons)
                )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"objects: found a JSON without COCO's images, categories and annotations ({error!r}): "
            "give such a file, or a folder of masks"
        ) from error
    return objects_by_stem


def read_captions(path: Path) -> tuple[Mapping[str, str], list[str]]:
    """Captions by the file name of their photograph, and all captions in order.

    A `.json` file holds file name and caption (or a list of them, the first is taken), or COCO's
    captions; any other file is text with a caption a line, which belong to no photograph.

    Raises DataError where it is neither, or holds none.
    """
    if path.suffix.lower() == ".json":
        captions = _named_captions(_json(path, "captions"))
        texts = list(captions.values())
    else:
        captions, texts = {}, _lines(path)
    if not texts:
        raise DataError(f"captions: {str(path)!r} holds none, expected one at least")
    return captions, texts


def _named_captions(content: Any) -> dict[str, str]:
    try:
        if "annotations" in content:
            files = {image["id"]: Path(image["file_name"]).name for image in content["images"]}
            pairs: Iterable[tuple[str, Any]] = (
                (files[annotation["image_id"]], annotation["caption"])
                for annotation in content["annotations"]
            )
        else:
            pairs = content.items()
        captions: dict[str, str] = {}
        for name, caption in pairs:
            # COCO has five captions a photograph; the first stays.
            captions.setdefault(
                Path(name).name, str(caption if isinstance(caption, str) else caption[0])
            )
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise DataError(
            f"captions: found a JSON of another form ({error!r}), expected file name and caption, "
            "or COCO's captions"
        ) from error
    return captions


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"captions: {str(path)!r} cannot be read as text: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _json(path: Path, option: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"{option}: {str(path)!r} cannot be read as JSON: {error}") from error
