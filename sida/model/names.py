"""Models with a name."""

from pathlib import Path

import sida

__all__ = ["EMBEDDED", "HUB_NAMES"]

EMBEDDED = Path(sida.__file__).parent / "assets" / "tiny"
"""Folder of the model that comes with the package."""

HUB_NAMES = {
    "sida-7b": "saberzl/SIDA-7B",
    "sida-13b": "saberzl/SIDA-13B",
    "sida-7b-description": "saberzl/SIDA-7B-description",
    "sida-13b-description": "saberzl/SIDA-13B-description",
    "lisa-7b": "xinlai/LISA-7B-v1",
}
