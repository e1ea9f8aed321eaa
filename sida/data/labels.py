"""Classes by name: whatever a set calls or numbers them, they come out as `real`,
`full_synthetic` or `tampered`."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sida.errors import ConfigError, DataError
from sida.verdict import LABELS

__all__ = ["Tally", "label_of", "numbering", "unknown_label"]

FEW = 0.05  # more unknown labels than this share are no slips: the set means something else

_NAMES = {
    "real": "real",
    "authentic": "real",
    "full_synthetic": "full_synthetic",
    "fully_synthetic": "full_synthetic",
    "synthetic": "full_synthetic",
    "tampered": "tampered",
    "tampering": "tampered",
}


def label_of(value: object, names: Sequence[str] = LABELS) -> str | None:
    """The class that a value of a label column stands for; None where it is none of them.

    Args:
        value: a name in any case ("Full Synthetic", "full-synthetic"), or a number or its digits.
        names: what the numbers 0, 1, 2, … stand for.

    >>> label_of("Full Synthetic"), label_of(2), label_of(1, ["real", "tampered"]), label_of(7)
    ('full_synthetic', 'tampered', 'tampered', None)
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip().lower()
    if text.isascii() and text.isdigit():
        return _NAMES.get(_folded(names[int(text)])) if int(text) < len(names) else None
    return _NAMES.get(_folded(text))


def numbering(text: str) -> tuple[str, ...]:
    """The names of the classes 0, 1, 2, … from a list such as "real,tampered,full_synthetic".

    Raises ConfigError where a name is none of the three classes, or comes twice.
    """
    names = tuple(_NAMES.get(_folded(name), name.strip()) for name in text.split(","))
    if not set(names) <= set(LABELS) or len(set(names)) < len(names):
        raise ConfigError(
            f"the classes 0, 1, 2, … were given as {text!r}, expected an order of "
            f"{', '.join(LABELS)}, each once, with commas between"
        )
    return names


def unknown_label(value: object) -> str:
    """The line of a row whose label is none of the classes."""
    return f"its label is {value!r}, expected {', '.join(LABELS)} (or 0, 1, 2): not used"


@dataclass
class Tally:
    """Counts rows, and the values of their labels that are none of the classes."""

    rows: int = 0
    unknown: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, values: Iterable[object]) -> "Tally":
        """Of a whole column of labels; empty cells are not counted."""
        tally = cls()
        for value in values:
            if value is not None:
                tally.add(value, label_of(value))
        return tally

    def add(self, value: object, label: str | None) -> None:
        """Count one row: what it holds, and the class that it stands for."""
        self.rows += 1
        if label is None:
            self.unknown[repr(value)] += 1

    def require_known(self, title: str) -> None:
        """Raise DataError where so many labels are unknown that the numbering must be another."""
        count = self.unknown.total()
        if count <= FEW * self.rows:
            return
        examples = ", ".join(value for value, _ in self.unknown.most_common(5))
        raise DataError(
            f"{title} has labels that are none of the classes in {count} of {self.rows} rows "
            f"({examples}): expected {', '.join(LABELS)}, or 0, 1, 2 for them; if it numbers them "
            "otherwise, say how (--labels real,tampered,full_synthetic)"
        )


def _folded(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
