"""IPTC's digital source types: how a picture came about, as credentials and XMP declare it."""

import re
from collections.abc import Iterator, Mapping

__all__ = ["GENERATED", "PARTLY", "source_types", "term"]

GENERATED = (
    "trainedAlgorithmicMedia", "algorithmicMedia", "compositeSynthetic", "trainedAlgorithmicData",
)  # fmt: skip
PARTLY = ("compositeWithTrainedAlgorithmicMedia",)
"""A generator made a part of the picture."""

_SPELLED = {name.casefold(): name for name in (*GENERATED, *PARTLY)}
_KEY = "digitalsourcetype"
_DEPTH = 32


def term(value: str) -> str:
    """A term of the vocabulary, without the address or prefix that it stands under.

    >>> term("http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia/")
    'trainedAlgorithmicMedia'
    """
    bare = re.split(r"[/#:]", value.strip().rstrip("/#"))[-1][:1000]
    return _SPELLED.get(bare.casefold(), bare)


def source_types(data: object, depth: int = _DEPTH) -> Iterator[str]:
    """Terms under any key that names a source type, however deep: actions, XMP as JSON-LD."""
    if depth == 0:
        return
    if isinstance(data, Mapping):
        for key, value in data.items():
            if re.split(r"[/#:]", str(key))[-1].casefold() == _KEY:
                yield from _terms(value)
            else:
                yield from source_types(value, depth - 1)
    elif isinstance(data, list):
        for entry in data:
            yield from source_types(entry, depth - 1)


def _terms(value: object) -> Iterator[str]:
    """JSON-LD writes an address as text, as {"@id": ...}, or as a list of these."""
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        text = entry.get("@id", entry.get("@value")) if isinstance(entry, Mapping) else entry
        if isinstance(text, str) and (name := term(text)):
            yield name
