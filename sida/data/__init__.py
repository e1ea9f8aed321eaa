"""Labelled pictures: every form in which a set is published, read as the same `Sample`."""

from sida.data.dataset import Dataset
from sida.data.doctor import check, stats
from sida.data.export import Exported, export
from sida.data.findings import Findings
from sida.data.opening import open, splits_of
from sida.data.reading import read
from sida.data.report import Problem, Report
from sida.data.sample import Labelled, Sample

__all__ = [
    "Dataset",
    "Exported",
    "Findings",
    "Labelled",
    "Problem",
    "Report",
    "Sample",
    "check",
    "export",
    "open",
    "read",
    "splits_of",
    "stats",
]
