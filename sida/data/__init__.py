"""Labelled pictures: every form in which a set is published, read as the same `Sample`."""

from sida.data.checks.doctor import check, stats
from sida.data.checks.findings import Findings
from sida.data.dataset import Dataset
from sida.data.opening import open, splits_of
from sida.data.problems import DataProblem, Report
from sida.data.reading import read
from sida.data.sample import Labelled, Sample
from sida.data.writing.export import Exported, export

__all__ = [
    "DataProblem",
    "Dataset",
    "Exported",
    "Findings",
    "Labelled",
    "Report",
    "Sample",
    "check",
    "export",
    "open",
    "read",
    "splits_of",
    "stats",
]
