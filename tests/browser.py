"""Where a headless browser is, for tests that look at pages in one."""

import shutil

import pytest

__all__ = ["browser"]


def browser() -> str:
    """A browser's command; skips the test where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (result := shutil.which(name)) is not None:
            return result
    pytest.skip("needs a browser: install chromium")
