"""`check` and `stats`: read a whole labelled set once and say what is in it, and what is wrong."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from sida.data.checks.duplicates import find_twins
from sida.data.checks.findings import Findings
from sida.data.checks.leakage import probe
from sida.data.checks.traits import survey
from sida.data.dataset import Dataset
from sida.data.formats.pixar import TAU
from sida.data.opening import open, splits_of
from sida.data.sample import Labelled
from sida.html import thumbnail
from sida.verdict import LABELS

__all__ = ["check", "stats"]


THUMBS = 6


def check(
    path: str | Path,
    split: str | None = None,
    *,
    labels: str | Sequence[str] | None = None,
    tau: float = TAU,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Findings:
    """Look for everything that is wrong with a set: broken rows, duplicates, leakage.

        findings = sida.data.check("pictures")
        print(*findings.sentences(), sep="\\n"); findings.as_json()["leakage_probe"]

    Every picture is decoded once; nothing is changed. All splits are read unless one is named.

    Args:
        path, split, labels, tau: as for `sida.data.open`.
        progress: called after every picture.

    Raises:
        InputError, DataError, DownloadError: as `sida.data.open`.
        MissingExtra: scikit-learn or imagehash is not installed (the extra `data`).
    """
    findings = _survey(path, split, labels, tau, progress, looks=True)
    return Findings(
        findings.data,
        findings.layout,
        findings.datasets,
        findings.traits,
        findings.thumbs,
        find_twins(findings.traits),
        probe(findings.traits),
    )


def stats(
    path: str | Path,
    split: str | None = None,
    *,
    labels: str | Sequence[str] | None = None,
    tau: float = TAU,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Findings:
    """Statistics of a set by class and split, and its broken rows; the first half of `check`.

    Needs the core alone for folders. Raises as `check`.
    """
    return _survey(path, split, labels, tau, progress, looks=False)


def _survey(
    path: str | Path,
    split: str | None,
    labels: str | Sequence[str] | None,
    tau: float,
    progress: Callable[[int, int | None], None],
    looks: bool,
) -> Findings:
    names: list[str | None] = [split] if split is not None else [*splits_of(path)]
    datasets = [open(path, name, labels=labels, tau=tau) for name in names or [None]]
    thumbnails = _Thumbnails()
    traits = []
    total = _total(datasets)
    for data in datasets:
        for traits_of_picture in survey(data, data.split, looks, thumbnails):
            traits.append(traits_of_picture)
            progress(len(traits), total)
    return Findings(str(path), datasets[0].layout, datasets, traits, thumbnails.thumbs())


def _total(datasets: Sequence[Dataset]) -> int | None:
    try:
        return sum(len(data) for data in datasets)
    except TypeError:  # streamed, and the hub does not say
        return None


class _Thumbnails:
    """Keeps small versions of a few pictures a class, whichever have the least hash of name."""

    def __init__(self) -> None:
        self._lowest: dict[str, list[tuple[str, str, str]]] = {label: [] for label in LABELS}

    def __call__(self, labelled: Labelled) -> None:
        name = labelled.sample.name
        entries = self._lowest[labelled.sample.label]
        # A hash of the name is a random draw that is the same at every call, in any order.
        rank = hashlib.sha256(name.encode()).hexdigest()
        if len(entries) < THUMBS or rank < entries[-1][0]:
            entries.append((rank, name, thumbnail(labelled.picture.pixels, labelled.mask)))
            entries.sort()
            del entries[THUMBS:]

    def thumbs(self) -> dict[str, list[tuple[str, str]]]:
        """label -> (name, data URI)."""
        return {
            label: [(name, uri) for _, name, uri in entries]
            for label, entries in self._lowest.items()
        }
