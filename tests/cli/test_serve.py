"""`sida serve`: what is said before anything is served. The rest is in tests/serve."""

import sys

import pytest
from typer.testing import CliRunner

from sida.cli import app


def test_without_the_extra_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("sida.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    result = CliRunner().invoke(app, ["serve"])
    assert result.exit_code == 2
    assert "pip install 'sida[serve]'" in result.stderr


def test_keys_that_cannot_be_read_are_a_sentence() -> None:
    result = CliRunner().invoke(app, ["serve", "--keys", "nowhere.yaml", "--port", "0"])
    assert result.exit_code == 2
    assert "there is no file 'nowhere.yaml'" in result.stderr
