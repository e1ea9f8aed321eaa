"""`Findings`: what the doctor found, as an object, as JSON and in sentences."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from sida.data.checks.duplicates import Twins, summary
from sida.data.checks.leakage import Probe
from sida.data.checks.traits import Traits
from sida.data.dataset import Dataset
from sida.data.problems import HARMLESS, PROBLEMS, DataProblem
from sida.verdict import LABELS

__all__ = ["AREAS", "Findings", "quantiles"]

T = TypeVar("T")

SCHEMA = "sida.data_check/1"
SOURCE_TELLS = 0.8
AREAS = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1)
"""Edges of the bins in which mask areas are counted, as shares of the picture."""


@dataclass(frozen=True)
class Findings:
    """Results of `check` or `stats` for a labelled set.

    Attributes:
        data: as the user named it.
        layout: "folder", "parquet", "pixar" or "manifest".
        datasets: the splits that were read.
        traits: every picture that could be read, in order.
        thumbs: label -> some (name, data URI), chosen by their names' hashes.
        twins: pictures that are there twice; None where they were not looked for.
        probe: the leakage probe; None where it was not made.
    """

    data: str
    layout: str
    datasets: Sequence[Dataset]
    traits: Sequence[Traits]
    thumbs: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    twins: Sequence[Twins] | None = None
    probe: Probe | None = None

    @property
    def problems(self) -> list[DataProblem]:
        """Every row that something is wrong with, named with its split where there are several."""
        several = len(self.datasets) > 1
        return [
            DataProblem(p.code, f"{data.split}/{p.name}" if several else p.name, p.message)
            for data in self.datasets
            for p in data.report
        ]

    @property
    def problem_counts(self) -> dict[str, int]:
        """How many rows each kind was found in, most frequent first."""
        return dict(Counter(problem.code for problem in self.problems).most_common())

    @property
    def is_sound(self) -> bool:
        """True if nothing is wrong with any row; unusual files are not wrong."""
        return set(self.problem_counts) <= HARMLESS

    def of(self, label: str) -> list[Traits]:
        """The pictures of one class."""
        return [picture for picture in self.traits if picture.label == label]

    def counts(self) -> dict[str, dict[str, int]]:
        """Split -> class -> pictures that can be read; one split is called "all" if unnamed."""
        labels: tuple[str, ...] = LABELS
        counts = {data.split or "all": dict.fromkeys(labels, 0) for data in self.datasets}
        for picture in self.traits:
            counts[picture.split or "all"][picture.label] += 1
        return counts

    def shared_groups(self) -> list[str]:
        """Originals whose pictures lie in several splits."""
        splits: dict[str, set[str | None]] = {}
        for picture in self.traits:
            if picture.group is not None:
                splits.setdefault(picture.group, set()).add(picture.split)
        return sorted(group for group, names in splits.items() if len(names) > 1)

    def sentences(self) -> list[str]:
        """The findings in words, the gravest first."""
        lines = [*_twin_sentences(self.twins or ())]
        if shared := self.shared_groups():
            lines.append(
                f"{len(shared)} originals have pictures in several splits (such as {shared[0]}): "
                "a model is tested on what it was trained on; `sida data export DATA --to folder "
                "--out DIR --split-by-group` draws the splits anew."
            )
        if self.probe is not None:
            lines += self.probe.sentences()
            if self.probe.source is not None and self.probe.source > SOURCE_TELLS:
                lines.append(
                    f"The source alone tells the class in {self.probe.source:.1%}: the classes "
                    "come from different places. No export can mend that; look at the scores by "
                    "source."
                )
        lines += [f"{count} x {PROBLEMS[code]}." for code, count in self.problem_counts.items()]
        return lines

    def as_json(self) -> dict[str, object]:
        """The object that `--json` writes; parts that were not asked for are left out."""
        report: dict[str, object] = {
            "schema": SCHEMA,
            "data": self.data,
            "layout": self.layout,
            "pictures": len(self.traits),
            "splits": self.counts(),
            "sources": self.sources(),
            "formats": self._by_label(
                lambda rows: dict(_count(picture.format for picture in rows))
            ),
            "sizes": self._by_label(_sizes),
            "jpeg_quality": self._by_label(
                lambda rows: quantiles(_not_none(r.quality for r in rows))
            ),
            "jpeg_coding": self._by_label(
                lambda rows: dict(_count(picture.coding for picture in rows))
            ),
            "bytes_per_pixel": self._by_label(
                lambda rows: quantiles(r.bytes / (r.width * r.height) for r in rows)
            ),
            "metadata": self.metadata(),
            "mask_area": {
                **quantiles(self.mask_areas()),
                "edges": list(AREAS),
                "counts": self.mask_area_counts(),
            },
            "groups": len({picture.group for picture in self.traits} - {None}),
            "groups_in_several_splits": self.shared_groups(),
            "problems": {
                "counts": self.problem_counts,
                "rows": [vars(problem) for problem in self.problems],
            },
        }
        if self.twins is not None:
            report["duplicates"] = {**summary(self.twins), "rows": [*map(_twin_row, self.twins)]}
        if self.probe is not None:
            report["leakage_probe"] = self.probe.as_json()
        return {**report, "sentences": self.sentences()}

    def sources(self) -> dict[str, dict[str, int]]:
        """Label -> source -> pictures, most frequent first."""
        return self._by_label(lambda rows: dict(_count(picture.source for picture in rows)))

    def metadata(self) -> dict[str, dict[str, float]]:
        """Label -> "exif" and "icc" -> the share of pictures that have it."""
        return self._by_label(_metadata)

    def mask_areas(self) -> list[float]:
        """The altered share of each tampered picture that has a mask."""
        return _not_none(picture.mask_area for picture in self.traits)

    def mask_area_counts(self) -> list[int]:
        """Masks in each bin of `AREAS`."""
        counts: list[int] = np.histogram(self.mask_areas(), AREAS)[0].tolist()
        return counts

    def _by_label(self, measure: Callable[[Sequence[Traits]], T]) -> dict[str, T]:
        return {label: measure(rows) for label in LABELS if (rows := self.of(label))}


def quantiles(values: Iterable[float]) -> dict[str, float]:
    """Count, least, 5 %, median, 95 % and largest; the count alone where there are none."""
    finite = np.array(list(values), float)
    if not len(finite):
        return {"count": 0}
    names = ("min", "p05", "median", "p95", "max")
    cuts = np.quantile(finite, (0, 0.05, 0.5, 0.95, 1))
    return {"count": len(finite), **dict(zip(names, cuts.tolist(), strict=True))}


def _not_none(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _count(values: Iterable[str | None]) -> list[tuple[str, int]]:
    return Counter(value for value in values if value is not None).most_common()


def _sizes(rows: Sequence[Traits]) -> dict[str, dict[str, float]]:
    return {
        "width": quantiles(picture.width for picture in rows),
        "height": quantiles(picture.height for picture in rows),
        "megapixels": quantiles(picture.width * picture.height / 1e6 for picture in rows),
        "most_frequent": dict(_count(f"{picture.width}x{picture.height}" for picture in rows)[:5]),
    }


def _metadata(rows: Sequence[Traits]) -> dict[str, float]:
    return {
        "exif": sum(picture.has_exif for picture in rows) / len(rows),
        "icc": sum(picture.has_icc for picture in rows) / len(rows),
    }


def _twin_row(twins: Twins) -> dict[str, object]:
    return {
        "exact": twins.exact,
        "one_group": twins.one_group,
        "pictures": [
            {
                "split": picture.split,
                "name": picture.name,
                "label": picture.label,
                "group": picture.group,
            }
            for picture in twins.members
        ],
    }


def _twin_sentences(twins: Sequence[Twins]) -> Iterable[str]:
    """The duplicates that do harm, in words."""
    contradicting = [twin_set for twin_set in twins if twin_set.exact and len(twin_set.labels) > 1]
    if contradicting:
        first = contradicting[0].members
        yield (
            f"{len(contradicting)} files are in two classes at once, such as {first[0].name} and "
            f"{first[1].name}: one of the labels is wrong."
        )
    for exact, subject in ((True, "The same file"), (False, "Pictures that look alike")):
        crossing = [
            twin_set for twin_set in twins if twin_set.exact == exact and len(twin_set.splits) > 1
        ]
        if crossing:
            first = crossing[0].members
            yield (
                f"{subject} in different splits: {len(crossing)} times, such as "
                f"{first[0].split}/{first[0].name} and {first[-1].split}/{first[-1].name}; "
                "scores on the later split are too good to be true."
            )
    repeated = sum(len(t.members) - 1 for t in twins if t.exact and len(t.splits) == 1)
    if repeated:
        yield f"{repeated} files are there again under another name."
