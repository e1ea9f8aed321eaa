"""`open`: a path or a name to its samples, whatever layout lies there."""

from collections.abc import Sequence
from pathlib import Path

from sida.data.dataset import Dataset, choose_split
from sida.data.descriptions import Texts, read_texts, texts_of, with_descriptions
from sida.data.formats.folder import folder_splits, is_split, open_folder
from sida.data.formats.hub import hub_splits, is_hub_name, open_hub
from sida.data.formats.layouts import KNOWN_TREES, Layout, known_layout
from sida.data.formats.manifest import manifest_splits, open_manifest
from sida.data.formats.parquet import holds_pictures, open_parquet, parquet_splits
from sida.data.formats.pixar import TAU, is_pixar, open_pixar
from sida.data.formats.table import COLUMNS, TABLES, find_manifest
from sida.data.labels import numbering
from sida.data.problems import Report
from sida.errors import DataError, InputError
from sida.formats import PICTURE_SUFFIXES
from sida.verdict import LABELS

__all__ = ["open", "splits_of"]

Columns = tuple[str, ...] | None
"""Of a manifest: those that are read; None for all."""


def open(
    path: str | Path,
    split: str | None = None,
    *,
    labels: str | Sequence[str] | None = None,
    descriptions: str | Path | None = None,
    tau: float = TAU,
    further: bool = False,
) -> Dataset:
    """Open a labelled set; the files are read when the samples are.

        for sample in sida.data.open("pictures/train"): ...
        sida.data.open("saberzl/SID_Set", "validation")     # streamed from the hub

    Args:
        path: a split folder (`real/`, `full_synthetic/`, `tampered/`, `masks/`), a folder of
            such, parquet files or a folder of them, a manifest (.csv, .jsonl, .parquet) or a
            folder with one, a PIXAR folder, another set's tree (see
            `sida.data.formats.layouts`), or a name
            on the hub.
        split: which one, where there are several.
        labels: what the set's numbers 0, 1, 2 stand for, where it has no names for them and they
            are not real, full_synthetic, tampered: "real,tampered,full_synthetic". Of folders
            that tell real from fake alone, those two: "real,tampered".
        descriptions: a further set or a JSON file whose texts are joined by the pictures' names.
        tau: for PIXAR, the difference (0 to 1) above which a pixel counts as altered.
        further: whether `Sample.more` shall hold further columns of a manifest or parquet, which
            for a large set take much memory; those of a streamed one are not read.

    Raises:
        InputError: the path leads nowhere.
        DataError: what lies there is not a labelled set; its text says what was found and expected.
        MissingExtra: parquet or the hub is needed, and their libraries are not installed.
        DownloadError: the hub cannot be reached.
    """
    names = numbering(labels) if isinstance(labels, str) else labels
    data = _open(str(path), split, names, tau, None if further else COLUMNS)
    if descriptions is None:
        return data
    return with_descriptions(data, _texts(descriptions), descriptions)


def _texts(source: str | Path) -> Texts:
    if Path(source).suffix.lower() == ".json":
        return read_texts(Path(source))
    splits: list[str | None] = [*splits_of(source)]
    return texts_of(open(source, split) for split in splits or [None])


def splits_of(path: str | Path) -> list[str]:
    """The names of the splits below a path; none where it is one set."""
    root = Path(path)
    if root.is_file():
        is_table = root.suffix.lower() in TABLES and not _is_shard(root)
        return manifest_splits(root) if is_table else []
    if not root.is_dir():
        return hub_splits(str(path)) if is_hub_name(str(path)) else []
    if (layout := known_layout(root)) is not None:
        return layout.splits(root)
    if is_split(root):
        return []
    if (manifest := find_manifest(root)) is not None:
        return manifest_splits(manifest)
    if names := folder_splits(root):
        return names
    shards = sorted(parquet_splits(root))
    return shards if len(shards) > 1 else []


def _open(
    path: str, split: str | None, names: Sequence[str] | None, tau: float, columns: Columns
) -> Dataset:
    root = Path(path)
    if not root.exists():
        if is_hub_name(path):
            return open_hub(path, split, names)
        raise InputError(f"{path!r} was not found: check the path")
    if root.is_file():
        return _open_file(root, path, split, names, columns)
    if (layout := known_layout(root)) is not None:
        return _open_known(layout, root, path, split, names)
    if is_split(root):
        _require_own(path, root.resolve().name, split)
        return _open_split(root, path, split, tau, columns)
    if (manifest := find_manifest(root)) is not None:
        return _open_table(manifest, path, split, names, columns)
    if splits := folder_splits(root):
        split_name = choose_split(path, splits, split)
        return _open_split(root / split_name, path, split_name, tau, columns)
    if shards := parquet_splits(root):
        split_name = choose_split(path, sorted(shards), split)
        return open_parquet(shards[split_name], path, split_name, names, further=columns is None)
    raise DataError(_nothing(root, path))


def _open_known(
    layout: Layout, root: Path, name: str, split: str | None, names: Sequence[str] | None
) -> Dataset:
    split_name = None
    if splits := layout.splits(root):
        split_name = choose_split(name, splits, split)
    else:
        _require_own(name, root.resolve().name, split)
    report = Report()
    samples = layout.samples(root, split_name, names, report)
    if not samples:
        raise DataError(
            f"{name!r} looks like {layout.name}, but no picture was found in it: expected "
            f"{layout.tree}"
        )
    return Dataset(samples, report, name, split_name, layout.name)


def _open_split(
    folder: Path, name: str, split: str | None, tau: float, columns: Columns
) -> Dataset:
    if is_pixar(folder):
        return open_pixar(folder, name, split, tau, columns)
    return open_folder(folder, name, split, columns=columns)


def _open_file(
    file: Path, name: str, split: str | None, names: Sequence[str] | None, columns: Columns
) -> Dataset:
    if _is_shard(file):
        _require_own(name, next(iter(parquet_splits(file))), split)
        return open_parquet([file], name, split, names, further=columns is None)
    if file.suffix.lower() in TABLES:
        return _open_table(file, name, split, names, columns)
    hint = ": unpack it and name the folder" if file.suffix.lower() in (".zip", ".tar") else ""
    raise DataError(
        f"{name!r} is a {file.suffix or 'file without suffix'}, expected a folder, parquet, or a "
        f"manifest ({', '.join(TABLES)}){hint}"
    )


def _open_table(
    file: Path, name: str, split: str | None, names: Sequence[str] | None, columns: Columns
) -> Dataset:
    split_name = None
    if splits := manifest_splits(file):
        split_name = choose_split(name, splits, split)
    else:
        _require_own(name, None, split)
    return open_manifest(file, name, split_name, names or LABELS, columns)


def _require_own(name: str, folder_split: str | None, split: str | None) -> None:
    """Raise DataError where another split is asked for than the one that a path is."""
    if split not in (None, folder_split):
        raise DataError(
            f"{name!r} is one split itself, expected a set with the split {split!r}: leave out "
            "--split, or name the folder above"
        )


def _is_shard(file: Path) -> bool:
    return file.suffix.lower() == ".parquet" and holds_pictures(file)


def _nothing(folder: Path, name: str) -> str:
    """Message on a folder that is not a labelled set: its contents, and what was expected."""
    inside = sorted(folder.iterdir())
    folders = [item.name for item in inside if item.is_dir()]
    pictures = sum(item.suffix.lower() in PICTURE_SUFFIXES for item in inside)
    contents = [f"the folders {', '.join(folders[:5])}"] if folders else []
    contents += [f"{pictures} pictures"] if pictures else []
    if len(inside) > len(folders) + pictures:
        contents.append(f"{len(inside) - len(folders) - pictures} other files")
    return (
        f"{name!r} is not a labelled set: found {' and '.join(contents) or 'an empty folder'}, "
        f"expected the folders {', '.join(LABELS)} with pictures (or splits with them), parquet "
        f"files, a manifest, or the tree of {KNOWN_TREES}: see docs/data.md"
    )
