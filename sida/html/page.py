"""`Page`: a title and sections; writes itself as one HTML file.

page = Page("Data check", "pictures/train")
page.section("Classes").add(Bars({"real": {"pictures": 621}}), Note("Balanced.", "good"))
page.write("check.html")
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self

from sida.files import write_whole
from sida.html.elements import BeforeAfter, Element, Overview, TableCell

__all__ = ["Page", "Section"]


class Section:
    """A heading, a sentence below it, and elements in order.

    `anchor` is the name that a link to it uses, made of the title if not given; `in_contents` says
    whether the list at the top of the page has it.
    """

    def __init__(
        self, title: str, intro: str = "", anchor: str = "", in_contents: bool = True
    ) -> None:
        self.title, self.intro, self.in_contents = title, intro, in_contents
        self.anchor = anchor or "".join(c if c.isalnum() else "-" for c in title.lower())
        self.elements: list[Element] = []

    def add(self, *elements: Element) -> Self:
        """Append elements; gives the section back, so that calls can be chained."""
        self.elements += elements
        return self


class Page:
    """An HTML document. It needs no network and no font, and follows dark mode.

    No script runs in it but those of its elements, which sort an `Overview` or slide a
    `BeforeAfter`: the policy in its head names them by their digest, and nothing that was put into
    the page can be another.
    """

    def __init__(self, title: str, subtitle: str = "", footer: str = "") -> None:
        self.title, self.subtitle, self.footer = title, subtitle, footer
        self.sections: list[Section] = []

    def section(
        self, title: str, intro: str = "", anchor: str = "", in_contents: bool = True
    ) -> Section:
        """Begin a section."""
        self.sections.append(Section(title, intro, anchor, in_contents))
        return self.sections[-1]

    def html(self) -> str:
        """The whole document."""
        return "".join(self._chunks())

    def write(self, path: str | Path) -> None:
        """Write the document, completely or not at all, chunk by chunk. Raises SidaError."""
        with write_whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(self._chunks())

    def _chunks(self) -> Iterator[str]:
        types = {type(element) for section in self.sections for element in section.elements}
        script = "".join(_script(file) for owner, file in _SCRIPTS.items() if owner in types)
        # The policy in the head allows this one script by its digest.
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        template = _environment().get_template("page.html")
        return iter(template.generate(page=self, script=script, digest=digest))


@cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sida.html"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters["cell"] = cell_text
    environment.tests["numeric"] = is_numeric
    return environment


_SCRIPTS: Mapping[type[Element], str] = {Overview: "sort.js", BeforeAfter: "before_after.js"}


@cache
def _script(file: str) -> str:
    return "\n" + Path(__file__).with_name("templates").joinpath(file).read_text("utf-8")


# Controls, halves of characters, and the marks that turn the direction of reading.
_HIDDEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def _visible(value: Any) -> Any:
    """A text whose hidden characters are written as escapes, so that no name looks like another."""
    # Not isinstance: Markup is a str, and is safe already.
    if type(value) is not str:  # what templates made is Markup
        return value
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), value)


def is_numeric(value: TableCell) -> bool:
    """True for a cell that holds a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def cell_text(value: TableCell) -> str:
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
