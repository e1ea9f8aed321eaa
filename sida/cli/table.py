"""Verdicts as a person reads them: a table, and below it what does not fit into one."""

import io
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from sida.verdict import LABELS, Budget, Failure, Verdict

__all__ = ["Row", "columns", "plain", "render"]

HEADINGS = ("Picture", "Verdict", "Real", "Synthetic", "Tampered", "Altered")
STYLES = {"real": "green", "full_synthetic": "magenta", "tampered": "red", "inconclusive": "yellow"}


@dataclass(frozen=True)
class Row:
    """A picture's line of the table and what is said of it below; keeps no array."""

    cells: tuple[str, ...]
    style: str
    warnings: tuple[str, ...]
    text: str | None
    budget: Budget | None = None
    stability: str | None = None

    @classmethod
    def of(cls, name: str, result: Verdict | Failure) -> "Row":
        """The row of one picture that the user called `name`."""
        if isinstance(result, Failure):
            cells = (name, "not judged", "", "", "", "")
            return cls(cells, "yellow", (), result.message)
        unsure = result.inconclusive and result.budget is None
        verdict = result.outcome.replace("_", " ") + (" ?" if unsure else "")
        real, synthetic, tampered = (
            f"{100 * result.probabilities[label]:.1f} %" for label in LABELS
        )
        cells = (name, verdict, real, synthetic, tampered, _altered(result))
        style = STYLES[result.outcome]
        stability = None if result.stability is None else result.stability.sentence
        return cls(cells, style, result.warnings, _text(result), result.budget, stability)

    @property
    def name(self) -> str:
        return self.cells[0]


def render(rows: list[Row]) -> str:
    """The table of verdicts; below it explanations, failures, stability and warnings."""
    styles = [row.style for row in rows]
    text = columns(HEADINGS, [row.cells for row in rows], right=(2, 3, 4), styles=styles)
    notes = [f"{row.name}: {row.text}" for row in rows if row.text is not None]
    notes += [f"{row.name}: {row.stability}" for row in rows if row.stability is not None]
    notes += _warnings(rows)
    if any(row.cells[1].endswith("?") for row in rows):
        notes.append("? inconclusive: by its own calibration the model is unsure here.")
    if any(row.cells[5].startswith("(") for row in rows):
        notes.append("(…) where it would be altered if it were tampered, which it is not called.")
    notes += dict.fromkeys(budget_sentence(row.budget) for row in rows if row.budget is not None)
    return text + "".join(f"\n{plain(note)}\n" for note in notes)


def columns(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[int] = (),
    styles: Sequence[str] = (),
) -> str:
    """A table as wide as the terminal, where there is one; then `styles` colour the second cell."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    on_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if on_terminal else 160
    output = io.StringIO()
    console = Console(file=output, force_terminal=on_terminal, width=width)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index in right else "left", overflow="fold")
    for row, style in zip_longest(rows, styles, fillvalue=""):
        first, second, *remaining = (Text(plain(cell)) for cell in row)
        second.stylize(str(style))
        table.add_row(first, second, *remaining)
    console.print(table)
    return "".join(line.rstrip() + "\n" for line in output.getvalue().splitlines())


def budget_sentence(budget: Budget) -> str:
    """The promise of a budget, and the photographs that it rests on."""
    return (
        f"Budget: at most {100 * budget.max_false_positives:g} of 100 real photographs score above "
        f"{budget.threshold:.4g} (1 less the probability of real), as {budget.photographs} from "
        f"{budget.set} show; what scores less, and is not real, is inconclusive."
    )


def plain(text: str) -> str:
    """Text that cannot steer a terminal: control characters and stray bytes become escapes."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def _altered(verdict: Verdict) -> str:
    """How much of the picture, and where the largest regions lie; in brackets if not tampered."""
    localization = verdict.localization
    if localization is None:
        return ""
    if not localization.regions:
        return "nothing"
    positions = ", ".join(dict.fromkeys(region.position for region in localization.regions[:3]))
    hidden = f" and {len(localization.regions) - 3} more" if len(localization.regions) > 3 else ""
    text = f"{100 * localization.area:.1f} %: {positions}{hidden}"
    return text if verdict.label == "tampered" else f"({text})"


def _text(verdict: Verdict) -> str | None:
    """The explanation, marked where generation was cut short."""
    if verdict.explanation is None:
        return None
    return verdict.explanation.text + ("" if verdict.explanation.complete else " […]")


def _warnings(rows: list[Row]) -> list[str]:
    """Each warning once, with the picture it is about or the number of them."""
    about: dict[str, list[str]] = {}
    for row in rows:
        for warning in row.warnings:
            about.setdefault(warning, []).append(row.name)
    return [
        f"{names[0] if len(names) == 1 else f'{len(names)} pictures'}: {warning}"
        for warning, names in about.items()
    ]
