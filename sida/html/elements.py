"""Elements of a section. Each is plain data; its template is `elements/<template>.html`.

Texts are escaped where they are put into the page; nothing given here is taken as HTML.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

__all__ = [
    "BeforeAfter",
    "Element",
    "FactList",
    "Gallery",
    "Heading",
    "Headline",
    "Note",
    "Overview",
    "OverviewRow",
    "Paragraph",
    "Table",
    "TableCell",
    "Thumb",
    "Tone",
]

Tone = Literal["good", "plain", "warn", "bad"]

TableCell = str | int | float | None
"""A table's cell: numbers stand right, None is a dash."""


@dataclass(frozen=True)
class Element:
    """Anything that a section can hold."""

    template: ClassVar[str]


@dataclass(frozen=True)
class Paragraph(Element):
    """A paragraph."""

    template: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Note(Element):
    """A sentence that must not be missed; `tone` colours it."""

    template: ClassVar[str] = "note"
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Headline(Element):
    """The sentence that the page is about, in large letters."""

    template: ClassVar[str] = "headline"
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Heading(Element):
    """A heading inside a section."""

    template: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class FactList(Element):
    """A few figures side by side: name -> value."""

    template: ClassVar[str] = "facts"
    values: Mapping[str, TableCell]


@dataclass(frozen=True)
class Table(Element):
    """Rows under headings; a table that is long is folded below `open_rows` rows."""

    template: ClassVar[str] = "table"
    headings: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    caption: str = ""
    open_rows: int = 25


@dataclass(frozen=True)
class Thumb:
    """A small picture (a data URI), a line below it, and a word on it."""

    source: str
    caption: str
    badge: str = ""


@dataclass(frozen=True)
class Gallery(Element):
    """Small pictures in a grid; `wide` ones are panels side by side, two or one in a row."""

    template: ClassVar[str] = "gallery"
    thumbs: Sequence[Thumb] = field(default_factory=tuple)
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class OverviewRow:
    """A row of an overview: cells, a small picture (a data URI) before them, and the anchor of the
    section that its first cell links to."""

    cells: Sequence[TableCell]
    picture: str = ""
    anchor: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Overview(Element):
    """Rows with small pictures, which a click on a heading sorts; `headings` are of the cells."""

    template: ClassVar[str] = "overview"
    headings: Sequence[str]
    rows: Sequence[OverviewRow]


@dataclass(frozen=True)
class BeforeAfter(Element):
    """Two pictures of one size (data URIs) over each other, to slide and to blink between.

    `marked` is the second one with something drawn into it, to be shown on demand.
    """

    template: ClassVar[str] = "before_after"
    before: str
    after: str
    marked: str = ""
