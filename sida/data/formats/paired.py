"""Other data sets' trees of real pictures and fakes without masks, often one folder a generator.

A folder of real pictures and one of fakes lie side by side, down to three folders below the root:
`<generator>/{train,val}/{nature,ai}` (GenImage), `<generator>/{0_real,1_fake}` (ForenSynths and
others), `{real,fake}`. Synthbuster and DMimageDetection have one folder a generator, and real
pictures beside them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sida.data.formats.masked import folders, pictures
from sida.data.problems import Report
from sida.data.sample import Sample
from sida.errors import DataError
from sida.formats import PICTURE_SUFFIXES

__all__ = ["BY_GENERATOR", "PAIRED", "GeneratorFolders", "PairedLayout"]

DEPTH = 3
SPLITS = ("train", "val", "valid", "validation", "test")


@dataclass(frozen=True)
class _Pair:
    """Folders of real pictures and fakes side by side, and what the folders above say of them."""

    folder: Path
    split: str | None
    generator: str | None


@dataclass(frozen=True)
class PairedLayout:
    """Real pictures and fakes in two folders side by side.

    Attributes:
        name, tree: of the set, for people.
        real, fake: the folders' names.
        fakes: the class of fakes; None where sets of that form have fakes of either kind.
        by_root: whether the root itself is called after its generator where no folder below is.
    """

    name: str
    tree: str
    real: str
    fake: str
    fakes: str | None = "full_synthetic"
    by_root: bool = False

    def fits(self, root: Path) -> bool:
        """True if there is such a pair; where there is, half of another one is a mistake."""
        names = (self.real, self.fake)
        return any(
            all((pair.folder / name).is_dir() for name in names) for pair in self._pairs(root)
        )

    def splits(self, root: Path) -> list[str]:
        """The splits that the folders above the pairs are called after."""
        if _is_split_folder(root):
            return []
        return sorted({pair.split for pair in self._pairs(root) if pair.split})

    def samples(
        self, root: Path, split: str | None, names: Sequence[str] | None, report: Report
    ) -> list[Sample]:
        """Pair by pair, real pictures first; `names` say what unclear fakes are.

        Raises DataError where half of a pair is missing, or what the fakes are is not known.
        """
        pairs = list(self._pairs(root))
        if split is not None:
            pairs = [pair for pair in pairs if pair.split == split]
        labels = self._labels(root, names)
        return [
            sample
            for pair in pairs
            for folder, label in zip((self.real, self.fake), labels, strict=True)
            for sample in _samples(root, _half(pair.folder, folder), label, pair.generator, report)
        ]

    def _labels(self, root: Path, names: Sequence[str] | None) -> tuple[str, str]:
        if self.fakes is not None:
            return "real", self.fakes
        if names is None or len(names) < 2 or names[0] != "real":
            raise DataError(
                f"{str(root)!r} tells {self.real}/ from {self.fake}/ alone, expected to be told "
                "what its fakes are: --labels real,full_synthetic or --labels real,tampered (with "
                "masks in mask/ they are tampered)"
            )
        return "real", names[1]

    def _pairs(self, root: Path) -> Iterator[_Pair]:
        for folder in _walk(root, (self.real, self.fake), DEPTH):
            parts = folder.relative_to(root).parts
            here = parts or ((root.resolve().name,) if _is_split_folder(root) else ())
            split = next((part for part in here if part in SPLITS), None)
            generator = next((_generator(part) for part in parts if part not in SPLITS), None)
            yield _Pair(
                folder, split, generator or (self._root_name(root) if self.by_root else None)
            )

    def _root_name(self, root: Path) -> str:
        folder = root.resolve()
        return _generator((folder.parent if _is_split_folder(root) else folder).name)


def _generator(folder: str) -> str:
    """The generator that a folder is called after; GenImage's unpack as `imagenet_ai_0508_adm`."""
    return re.sub("^imagenet_(ai_)?([0-9]{4}_)?(?=.)", "", folder)


@dataclass(frozen=True)
class GeneratorFolders:
    """Folders of one generator each, and real pictures in others beside them.

    Attributes:
        name, tree: of the set, for people.
        generators, real: patterns of the folders' whole names.
        grouped: whether one name is one original throughout.
    """

    name: str
    tree: str
    generators: str
    real: str
    grouped: bool = False

    def fits(self, root: Path) -> bool:
        """True if a folder is called after one of its generators, and holds pictures itself."""
        return any(
            re.fullmatch(self.generators, folder.name) and _holds_pictures(folder)
            for folder in folders(root)
        )

    def splits(self, root: Path) -> list[str]:
        """None: it is published in one piece."""
        return []

    def samples(
        self, root: Path, split: str | None, names: Sequence[str] | None, report: Report
    ) -> list[Sample]:
        """Real pictures, then generator by generator.

        Raises DataError where there is a folder of another name: what is in it is not known.
        """
        real: list[Sample] = []
        fakes: list[Sample] = []
        for folder in folders(root):
            if re.fullmatch(self.real, folder.name, re.IGNORECASE):
                real += _samples(root, folder, "real", None, report, self.grouped)
            elif re.fullmatch(self.generators, folder.name):
                label = "full_synthetic"
                fakes += _samples(root, folder, label, folder.name, report, self.grouped)
            else:
                raise DataError(
                    f"{str(root)!r} looks like {self.name}, but has the folder {folder.name!r}: "
                    f"expected {self.tree}; move it elsewhere"
                )
        return [*real, *fakes]


def _samples(
    root: Path,
    folder: Path,
    label: str,
    generator: str | None,
    report: Report,
    grouped: bool = False,
) -> Iterator[Sample]:
    """The pictures of a folder; fakes have their generator, `grouped` ones a group by name."""
    made_by = generator if label != "real" else None
    cells = {"generator": made_by} if made_by else {}
    prefix = folder.relative_to(root).as_posix()
    for item in pictures(folder):
        yield Sample(
            item.path,
            label,
            source=made_by,
            group=item.relative.stem if grouped else None,
            name=f"{prefix}/{item.relative}",
            more=cells,
            report=report,
        )


def _half(folder: Path, name: str) -> Path:
    if not (folder / name).is_dir():
        raise DataError(
            f"{str(folder)!r} is half of a pair: expected the folder {name}/ in it, too"
        )
    return folder / name


def _holds_pictures(folder: Path) -> bool:
    """True if pictures lie in a folder itself."""
    if not folder.is_dir():
        return False
    return any(item.suffix.lower() in PICTURE_SUFFIXES for item in folder.iterdir())


def _walk(folder: Path, names: tuple[str, str], depth: int) -> Iterator[Path]:
    """Folders with one of a pair; nothing is looked for below these."""
    below = folders(folder)
    if any(item.name in names for item in below):
        yield folder
    elif depth:
        for item in below:
            yield from _walk(item, names, depth - 1)


def _is_split_folder(root: Path) -> bool:
    return root.resolve().name in SPLITS


PAIRED = (
    PairedLayout("GenImage", "GENERATOR/{train,val}/{ai,nature}/", "nature", "ai", by_root=True),
    PairedLayout("ForenSynths", "GENERATOR/{0_real,1_fake}/", "0_real", "1_fake"),
    PairedLayout("real and fake", "GENERATOR/{real,fake}/", "real", "fake", fakes=None),
)
"""Every known tree of pairs; a tree of one generator, or of one split, is one, too."""

BY_GENERATOR = (
    GeneratorFolders(
        "Synthbuster",
        "dalle2/, firefly/, … of fakes, and real/ or RAISE/ beside them",
        "dalle2|dalle3|firefly|glide|midjourney-v5|stable-diffusion-(1-3|1-4|2|xl)",
        r"real|(real_)?raise[\w-]*",
        grouped=True,
    ),
    GeneratorFolders(
        "DMimageDetection",
        "biggan_256/, latent-diffusion_…/, … of fakes, and real_coco_valid/, … beside them",
        r"(biggan|progan|stylegan[23]|taming-transformers|dalle-mini|glide_text2img|"
        r"guided-diffusion|latent-diffusion|stable-diffusion)_\w+|dalle[-_]2|eg3d",
        r"real_\w+",
    ),
)
"""Sets of one folder a generator."""
