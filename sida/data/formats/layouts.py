"""Trees of other data sets, read as they are published, so that models can be compared on them.

`LAYOUTS` is the table of all. A tree is taken for one of them where its names leave no doubt; one
with `full_synthetic/`, `tampered/` or a manifest is ours, whatever else is in it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sida.data.formats.masked import MASKED, folders
from sida.data.formats.nist16 import Nist16
from sida.data.formats.paired import BY_GENERATOR, PAIRED
from sida.data.formats.table import find_manifest
from sida.data.problems import Report
from sida.data.sample import Sample

__all__ = ["KNOWN_TREES", "LAYOUTS", "Layout", "known_layout"]


class Layout(Protocol):
    """How another set is published; `name` is its name, `tree` how it looks."""

    @property
    def name(self) -> str: ...
    @property
    def tree(self) -> str: ...

    def fits(self, root: Path) -> bool:
        """True if a folder is such a tree."""

    def splits(self, root: Path) -> list[str]:
        """Its splits, in alphabetical order; none where it is one set."""

    def samples(
        self, root: Path, split: str | None, names: Sequence[str] | None, report: Report
    ) -> list[Sample]:
        """The samples of one of its splits, or of all of it where there are none.

        Args:
            root: the tree.
            split: one of `splits`.
            names: the classes that stand for 0 and 1, where the user said so.
            report: gets what is wrong.

        Raises DataError where labels or masks cannot be told.
        """


LAYOUTS: tuple[Layout, ...] = (*MASKED, Nist16(), *PAIRED, *BY_GENERATOR)
"""Every known tree; the first one that fits counts."""

KNOWN_TREES = "; ".join(layout.name for layout in LAYOUTS)
"""Names of all of them in one phrase, for messages."""

_OURS = ("full_synthetic", "tampered")


def known_layout(root: Path) -> Layout | None:
    """The set whose tree a folder is; None where it is ours, or of no known kind."""
    if find_manifest(root) is not None or any(map(_is_ours, (root, *folders(root)))):
        return None
    return next((layout for layout in LAYOUTS if layout.fits(root)), None)


def _is_ours(folder: Path) -> bool:
    return any((folder / label).is_dir() for label in _OURS)
