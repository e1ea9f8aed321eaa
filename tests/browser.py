"""Where a headless browser is, for tests that look at pages in one."""

import shutil

import pytest

__all__ = ["browser"]


def browser() -> str:
    """A browser's command; skips the test where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (found := shutil.which(name)) is not None:
            return found
    pytest.skip("needs a browser: install chromium")
