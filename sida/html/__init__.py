"""Self-contained HTML: sections of tables, plots and pictures in one file without any request."""

from sida.html.elements import (
    BeforeAfter,
    FactList,
    Gallery,
    Heading,
    Headline,
    Note,
    Overview,
    OverviewRow,
    Paragraph,
    Table,
    Thumb,
    Tone,
)
from sida.html.page import Page, Section
from sida.html.plots import Bars, Histogram, Lines
from sida.html.thumbnails import data_uri, small_jpeg, thumbnail

__all__ = [
    "Bars",
    "BeforeAfter",
    "FactList",
    "Gallery",
    "Heading",
    "Headline",
    "Histogram",
    "Lines",
    "Note",
    "Overview",
    "OverviewRow",
    "Page",
    "Paragraph",
    "Section",
    "Table",
    "Thumb",
    "Tone",
    "data_uri",
    "small_jpeg",
    "thumbnail",
]
