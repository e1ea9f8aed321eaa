"""Progress bars: what is drawn on a terminal, and nothing elsewhere."""

import contextlib
import io

import pytest

from sida.cli.errors import notify
from sida.cli.progress import progress_bar, progress_bars


class Terminal(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def isatty(self) -> bool:
        return True

    def drawn(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")


def test_a_bar_says_what_is_done_and_of_how_many() -> None:
    with contextlib.redirect_stderr(Terminal()) as terminal, progress_bar("Reading") as show:
        show(1, None)
        show(3, 7)
    assert "Reading" in terminal.drawn()
    assert "3/7" in terminal.drawn()
    assert "/100" not in terminal.drawn()


def test_each_stage_has_a_bar() -> None:
    with contextlib.redirect_stderr(Terminal()) as terminal, progress_bars() as show:
        show("Training", 2, 2)
        show("Forging", 1, 9)
        notify("a line between")
        show("Forging", 4, 9)
    drawn = terminal.drawn()
    last = drawn[drawn.rindex("Training") :]
    assert "2/2" in last
    assert "4/9" in last
    line = next(line for line in drawn.split("\n") if "a line between" in line)
    assert line.rstrip().endswith("\x1b[2Ka line between")  # the bars are wiped off first


def test_nothing_is_drawn_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Reading") as show:
        show(3, 7)
    with progress_bars() as show_stage:
        show_stage("Forging", 1, 9)
    assert capsys.readouterr() == ("", "")
