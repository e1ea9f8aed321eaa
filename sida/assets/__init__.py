"""The model that comes with the package, and where the other ones with a name come from."""

from pathlib import Path

__all__ = ["EMBEDDED", "HUB_NAMES"]

EMBEDDED = Path(__file__).parent / "tiny"
"""Folder of the embedded model, whose name is that of the folder."""

HUB_NAMES = {
    "sida-7b": "saberzl/SIDA-7B",
    "sida-13b": "saberzl/SIDA-13B",
    "sida-7b-description": "saberzl/SIDA-7B-description",
    "sida-13b-description": "saberzl/SIDA-13B-description",
    "lisa-7b": "xinlai/LISA-7B-v1",
}
"""Name -> hub name of published weights."""
