"""Self-contained HTML: sections of tables, plots and pictures in one file without any request."""

from sida.page.elements import (
    Facts,
    Gallery,
    Heading,
    Headline,
    Note,
    Overview,
    Row,
    Table,
    Text,
    Thumb,
    Tone,
)
from sida.page.page import Page, Section
from sida.page.pictures import data_uri, thumbnail
from sida.page.plots import Bars, Histogram, Lines

__all__ = [
    "Bars",
    "Facts",
    "Gallery",
    "Heading",
    "Headline",
    "Histogram",
    "Lines",
    "Note",
    "Overview",
    "Page",
    "Row",
    "Section",
    "Table",
    "Text",
    "Thumb",
    "Tone",
    "data_uri",
    "thumbnail",
]
