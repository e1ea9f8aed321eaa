"""Classes by name: whatever a set calls or numbers them, they come out as `real`,
`full_synthetic` or `tampered`."""

from collections.abc import Sequence

from sida.errors import ConfigError
from sida.verdict import LABELS

__all__ = ["label_of", "numbering"]

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


def _folded(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
