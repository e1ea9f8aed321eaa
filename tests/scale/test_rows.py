"""Rows of parquet keep what a budget says, and are counted by what it states."""

import json
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from sida.scale.rows import count_labels, encode, read_rows, row_of
from sida.scale.store import Store
from sida.verdict import Budget, Failure, ModelInfo, Probabilities, Verdict, parse_line

BUDGET = Budget(max_false_positives=0.05, threshold=0.9, photographs=400, set="desk")


def verdict(tampered: float, budget: Budget | None, inconclusive: bool = False) -> Verdict:
    return Verdict(
        width=8,
        height=8,
        label="tampered",
        probabilities=Probabilities(real=1 - tampered, full_synthetic=0, tampered=tampered),
        inconclusive=inconclusive,
        unsuitable="the picture is blank" if inconclusive else None,
        budget=budget,
        model=ModelInfo(name="m", version="1", digest="d"),
        seconds=0.0,
    )


def test_a_budget_comes_back_out_of_parquet(tmp_path: Path) -> None:
    results = [verdict(0.95, BUDGET), verdict(0.6, None), verdict(0.6, BUDGET, True)]
    store = Store(str(tmp_path))
    store.write("rows.parquet", encode([row_of(result) for result in results]))
    rows = read_rows(store, "rows.parquet")
    assert [parse_line(json.dumps(row)) for row in rows] == results


def test_what_a_budget_leaves_open_counts_under_no_label() -> None:
    results = [
        *(verdict(0.95, BUDGET), verdict(0.6, BUDGET, True), verdict(0.6, None, True)),
        Failure(error="not_found", message="gone"),
    ]
    counts = count_labels(map(row_of, results))
    assert counts == {"tampered": 2, "inconclusive": 1, "failed": 1}
