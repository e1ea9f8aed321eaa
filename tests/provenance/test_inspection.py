"""`inspect` on files whose statements are known."""

from pathlib import Path

import pytest

from sida.provenance import inspect
from tests.provenance import signing
from tests.provenance.made_files import CASES, Case, table

assert len(CASES) >= 40


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_made_file_is_told_as_it_was_made(case: Case) -> None:
    options = dict(case.options)
    if "trust" in options:
        options["trust"] = signing.trusted()
    provenance = inspect(case.make(), **options)
    statements = [(item.name, str(item.value), item.state) for item in provenance.declared]
    for name, part, state in case.told:
        assert any(n == name and part in v and s == state for n, v, s in statements), (
            name,
            part,
            statements,
        )
    assert not {name for name, _, _ in statements} & set(case.untold)
    assert len(provenance.contradictions) == len(case.contradictions), provenance.contradictions
    for text, part in zip(provenance.contradictions, case.contradictions, strict=True):
        assert part in text
    assert not (case.nothing and statements)


def test_the_table_of_the_documents_is_this_one() -> None:
    page = Path(__file__).parents[2] / "docs" / "provenance.md"
    assert table() in page.read_text(encoding="utf-8"), "python -m tests.provenance.made_files"
