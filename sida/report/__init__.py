"""Reports for people: one picture or a batch as one self-contained HTML file or PDF."""

from sida.report.batch import Written, batch_report, require_format
from sida.report.picture import picture_report
from sida.report.results import ReportItem, read_results

__all__ = [
    "ReportItem",
    "Written",
    "batch_report",
    "picture_report",
    "read_results",
    "require_format",
]
