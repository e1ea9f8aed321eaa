"""Classes by name, and the order of classes that a user gives."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sida.data.formats.unique_names import UniqueNames
from sida.data.labels import Tally, label_of, numbering
from sida.data.problems import Report
from sida.errors import ConfigError, DataError
from sida.verdict import LABELS


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (0, "real"), ("1", "full_synthetic"), (2.0, "tampered"), ("Real ", "real"),
        ("fully-synthetic", "full_synthetic"), ("TAMPERED", "tampered"), (3, None), (-1, None),
        ("fake", None), (1.5, None), ("", None), (True, None), (None, None), ("²", None),
    ],
)  # fmt: skip
def test_values_become_names(value: object, label: str | None) -> None:
    assert label_of(value) == label


def test_other_orders() -> None:
    assert numbering("real, tampered,synthetic") == ("real", "tampered", "full_synthetic")
    assert label_of(1, numbering("real,tampered,full_synthetic")) == "tampered"
    for wrong in ("real,fake", "real,real", ""):
        with pytest.raises(ConfigError, match="expected an order of real, full_synthetic"):
            numbering(wrong)


@given(st.lists(st.sampled_from([0, 1, 2, 7]), min_size=1))
def test_few_unknown_labels_are_slips_many_are_not(values: list[int]) -> None:
    tally = Tally.of(values)
    if values.count(7) * 20 > len(values):
        with pytest.raises(DataError, match="none of the classes"):
            tally.require_known("it")
    else:
        tally.require_known("it")


@given(st.lists(st.sampled_from(["a", "a~2", "b", "a~3"]), max_size=12))
def test_names_are_unlike_each_other(wanted: list[str]) -> None:
    names, report = UniqueNames(), Report()
    given_out = [names(name, report) for name in wanted]
    assert len(set(given_out)) == len(wanted)
    assert len(report) == sum(a != b for a, b in zip(wanted, given_out, strict=True))


def test_the_room_needs_the_core_alone() -> None:
    heavy = ("torch", "transformers", "pyarrow", "pandas", "sklearn", "datasets", "imagehash")
    script = f"import sys, sida.data; print([m for m in {heavy} if m in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"


def test_labels_come_in_the_order_of_the_contract() -> None:
    assert LABELS == ("real", "full_synthetic", "tampered")
