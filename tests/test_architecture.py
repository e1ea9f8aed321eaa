"""The page on the architecture names modules, classes and functions that are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
ROOMS = {path.stem for path in (ROOT / "sida").iterdir() if path.suffix == ".py" or path.is_dir()}


def names() -> set[str]:
    """Dotted names in backticks that begin with a room."""
    dotted = re.findall(r"`([a-z_]\w*(?:\.\w+)+)`", PAGE.read_text(encoding="utf-8"))
    return {name for name in dotted if name.split(".")[0] in ROOMS}


def exists(name: str) -> bool:
    """True if the longest module on the way defines what the rest of the name says."""
    path, parts = ROOT / "sida", name.split(".")
    while parts and (path / parts[0]).is_dir():
        path /= parts.pop(0)
    if parts and (path / f"{parts[0]}.py").is_file():
        path /= f"{parts.pop(0)}.py"
    else:
        path /= "__init__.py"
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for part in parts:
        result = [node for node in body if part in defined(node)]
        if not result:
            return False
        body = getattr(result[0], "body", [])
    return True


def defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    return {getattr(node, "name", "")}


def test_names_on_the_page_are_those_of_the_code() -> None:
    assert len(names()) > 30
    assert {name for name in names() if not exists(name)} == set()


def test_a_name_that_is_not_there_is_seen() -> None:
    assert exists("detector.Detector.run")
    assert not exists("detector.Detector.judge")
