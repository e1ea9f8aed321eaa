"""China's label of generated content (GB 45438): a JSON object in XMP, a text or a comment."""

import json
from typing import Any

__all__ = ["aigc_label"]

_MEANINGS = {"1": "generated", "2": "may be generated", "3": "suspected to be generated"}
_NAMES = {"contentproducer": "ContentProducer", "contentpropagator": "ContentPropagator"}


def aigc_label(text: str) -> str | None:
    """The label in words, with who produced and spread the content; None for other texts.

    >>> aigc_label('{"AIGC": {"Label": "1", "ContentProducer": "A"}}')
    'Label 1 (generated); ContentProducer: A'
    """
    fields = _object(text)
    fields = _object(fields.get("aigc", fields))
    label = str(fields.get("label", "")).strip()
    if not label or not {"contentproducer", "produceid", "contentpropagator"} & fields.keys():
        return None
    parts = [f"Label {label} ({_MEANINGS.get(label, 'of unknown meaning')})"]
    parts += [f"{name}: {fields[key]}" for key, name in _NAMES.items() if fields.get(key)]
    return "; ".join(parts)


def _object(value: Any) -> dict[str, Any]:
    """With its names in small letters; {} for what is none, or nests too deep."""
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return {}
    return (
        {str(name).casefold(): field for name, field in value.items()}
        if isinstance(value, dict)
        else {}
    )
