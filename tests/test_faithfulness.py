"""Each row of docs/faithfulness.md names a test that exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "faithfulness.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> list[tuple[str, str]]:
    """The first and the last cell of every row of a table whose last column is `test`."""
    result, within = [], False
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            within = False
        elif cells[-1] == "test":
            within = True
        elif within and not set(line) <= set("|-"):
            result.append((cells[0], cells[-1]))
    return result


def functions(file: str) -> set[str]:
    """Names of the functions of a file of tests."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_there_are_two_tables() -> None:
    assert len(rows()) >= 20


@pytest.mark.parametrize(
    ("subject", "test"), rows(), ids=lambda cell: re.sub(r"\W+", " ", cell)[:60]
)
def test_each_row_names_its_test(subject: str, test: str) -> None:
    assert re.fullmatch(NAMED, test), f"{subject}: {test!r} is no test"


def test_every_named_test_exists() -> None:
    names = NAMED.findall(DOCUMENT.read_text(encoding="utf-8"))
    assert len(names) > 20
    missing = [f"{file}::{name}" for file, name in names if name not in functions(file)]
    assert not missing
