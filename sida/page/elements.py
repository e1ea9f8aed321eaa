"""What a section is made of. Each element is plain data; its template is `elements/<kind>.html`.

Texts are escaped where they are put into the page; nothing given here is taken as HTML.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

__all__ = [
    "Cell",
    "Element",
    "Facts",
    "Gallery",
    "Heading",
    "Headline",
    "Note",
    "Overview",
    "Row",
    "Table",
    "Text",
    "Thumb",
    "Tone",
]

Tone = Literal["good", "plain", "warn", "bad"]

Cell = str | int | float | None
"""A table's cell: numbers stand right, None is a dash."""


@dataclass(frozen=True)
class Element:
    """Anything that a section can hold."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class Text(Element):
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Note(Element):
    """A sentence that must not be missed; `tone` says whether it is good news."""

    kind: ClassVar[str] = "note"
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Headline(Element):
    """The one thing that the page has to say, in large letters."""

    kind: ClassVar[str] = "headline"
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Heading(Element):
    """A heading inside a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Facts(Element):
    """A few figures side by side: name -> value."""

    kind: ClassVar[str] = "facts"
    values: Mapping[str, Cell]


@dataclass(frozen=True)
class Table(Element):
    """Rows under headings; a table that is long is folded below `shown` rows."""

    kind: ClassVar[str] = "table"
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    shown: int = 25


@dataclass(frozen=True)
class Thumb:
    """A small picture (a data URI), a line below it, and a word on it."""

    source: str
    caption: str
    badge: str = ""


@dataclass(frozen=True)
class Gallery(Element):
    """Small pictures in a grid; `wide` ones are panels side by side, two or one in a row."""

    kind: ClassVar[str] = "gallery"
    thumbs: Sequence[Thumb] = field(default_factory=tuple)
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Row:
    """A row of an overview: cells, a small picture (a data URI) before them, and the anchor of the
    section that its first cell links to."""

    cells: Sequence[Cell]
    picture: str = ""
    anchor: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Overview(Element):
    """Rows with small pictures, which a click on a heading sorts; `headings` are of the cells."""

    kind: ClassVar[str] = "overview"
    headings: Sequence[str]
    rows: Sequence[Row]
