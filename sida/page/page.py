"""`Page`: a title and sections; writes itself as one HTML file.

page = Page("Data check", "pictures/train")
page.section("Classes").add(Bars({"real": {"pictures": 621}}), Note("Balanced.", "good"))
page.write("check.html")
"""

from functools import cache
from pathlib import Path
from typing import Any, Self

from sida.files import write_text
from sida.page.elements import Cell, Element

__all__ = ["Page", "Section"]


class Section:
    """A heading, a sentence below it, and elements in order."""

    def __init__(self, title: str, intro: str = "") -> None:
        self.title, self.intro = title, intro
        self.elements: list[Element] = []

    def add(self, *elements: Element) -> Self:
        """Append elements; gives the section back, so that calls can be chained."""
        self.elements += elements
        return self

    @property
    def anchor(self) -> str:
        """The name that a link to this section uses."""
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())


class Page:
    """One HTML document. It needs no network, no script and no font, and follows dark mode."""

    def __init__(self, title: str, subtitle: str = "", footer: str = "") -> None:
        self.title, self.subtitle, self.footer = title, subtitle, footer
        self.sections: list[Section] = []

    def section(self, title: str, intro: str = "") -> Section:
        """Begin a section."""
        self.sections.append(Section(title, intro))
        return self.sections[-1]

    def html(self) -> str:
        """The whole document."""
        return str(_environment().get_template("page.html").render(page=self))

    def write(self, path: str | Path) -> None:
        """Write the document, completely or not at all. Raises SidaError."""
        write_text(path, self.html())


@cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sida.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = cell_text
    environment.tests["numeric"] = is_numeric
    return environment


def is_numeric(value: Cell) -> bool:
    """Whether a cell holds a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def cell_text(value: Cell) -> str:
    """A cell as people read it: thousands apart, three figures after the point at most.

    >>> cell_text(1234567), cell_text(0.33333), cell_text(None)
    ('1\u202f234\u202f567', '0.333', '—')
    """
    if value is None:
        return "—"
    if is_numeric(value):
        if isinstance(value, float) and not value.is_integer():
            return f"{value:,.3g}" if abs(value) < 100 else _apart(round(value))
        return _apart(int(value))
    return str(value)


def _apart(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")
