"""Self-contained HTML: sections of tables, plots and pictures in one file without any request."""

from sida.page.elements import Facts, Gallery, Note, Table, Text, Thumb
from sida.page.page import Page, Section
from sida.page.pictures import data_uri, thumbnail
from sida.page.plots import Bars, Histogram, Lines

__all__ = [
    "Bars",
    "Facts",
    "Gallery",
    "Histogram",
    "Lines",
    "Note",
    "Page",
    "Section",
    "Table",
    "Text",
    "Thumb",
    "data_uri",
    "thumbnail",
]
