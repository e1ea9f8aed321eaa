"""`open`: a path to its samples, whatever layout lies there."""

from pathlib import Path

from sida.data.dataset import Dataset
from sida.data.folder import folder_splits, is_split, open_folder
from sida.errors import DataError, InputError
from sida.verdict import LABELS

__all__ = ["open"]


def open(path: str | Path, split: str | None = None) -> Dataset:
    """Open a labelled set.

    Args:
        path: a split folder (`real/`, `full_synthetic/`, `tampered/`, `masks/`) or a folder of
            such.
        split: which one, for a folder of splits.

    Raises:
        InputError: the path leads nowhere.
        DataError: what lies there is no labelled set; its text says what was found and expected.
    """
    folder = Path(path)
    if not folder.exists():
        raise InputError(f"{str(path)!r} was not found: check the path")
    if split is not None and not is_split(folder):
        return open_folder(_chosen(folder, split), str(path), split)
    if is_split(folder):
        return open_folder(folder, str(path), split)
    splits = folder_splits(folder) if folder.is_dir() else []
    if not splits:
        raise DataError(
            f"{str(path)!r} is no labelled set: expected the folders {', '.join(LABELS)}"
        )
    if len(splits) == 1:
        return open_folder(folder / splits[0], str(path), splits[0])
    raise DataError(f"{str(path)!r} holds the splits {', '.join(splits)}: choose one of them")


def _chosen(root: Path, split: str) -> Path:
    splits = folder_splits(root) if root.is_dir() else []
    if split not in splits:
        found = ", ".join(splits) or "none"
        raise DataError(f"{str(root)!r} has no split {split!r}: found {found}")
    return root / split
