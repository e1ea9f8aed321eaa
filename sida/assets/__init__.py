"""The models that come with the package, and where the other ones with a name come from."""

from pathlib import Path

__all__ = ["DEFAULT_MODEL", "EMBEDDED", "HUB_NAMES", "TOKENIZER"]

_FOLDER = Path(__file__).parent

EMBEDDED = {name: _FOLDER / name for name in ("small", "tiny")}
"""Name -> folder of an embedded model; `tiny` is the size for tests and examples of training."""
DEFAULT_MODEL = "small"
TOKENIZER = EMBEDDED["tiny"]
"""Folder of the tokenizer that the presets `small` and `tiny` share."""

HUB_NAMES = {
    "sida-7b": "saberzl/SIDA-7B",
    "sida-13b": "saberzl/SIDA-13B",
    "sida-7b-description": "saberzl/SIDA-7B-description",
    "sida-13b-description": "saberzl/SIDA-13B-description",
    "lisa-7b": "xinlai/LISA-7B-v1",
}
"""Name -> hub name of published weights."""
