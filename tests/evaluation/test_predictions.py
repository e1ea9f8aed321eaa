"""Lines of predictions: back and forth, moved, and every way in which one can be broken."""

import json
from pathlib import Path

import numpy as np
import pytest

from sida.errors import DataError, InputError, PictureError
from sida.evaluation import read_predictions
from sida.evaluation.predictions import FailedPrediction, Prediction, Truth, rebased
from sida.verdict import Failure, parse_line
from tests.evaluation.made import prediction, write

MASK = np.eye(8, dtype=bool)
LEVELS = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
SHARES = (0.2, 0.1, 0.7)


def test_a_line_has_the_keys_of_the_contract(tmp_path: Path) -> None:
    line = prediction(tmp_path, "tampered", SHARES, 3, MASK, LEVELS, source="s", group="g")
    fields = json.loads(line.model_dump_json())
    assert fields["schema"] == "sida.verdict/1"
    truth = {"label": "tampered", "mask": "truth/3.png", "source": "s", "group": "g"}
    assert fields["truth"] == truth
    assert fields["probability_map"] == "maps/3.png"
    assert parse_line(line.model_dump_json()).label == "tampered"  # type: ignore[union-attr]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    line = prediction(tmp_path, "tampered", SHARES, 0, MASK, LEVELS)
    failed = Failure(error="unreadable_image", message="broken")
    other = FailedPrediction.of(failed, Truth(label="not_real"), image="x.png", index=1)
    file = write(tmp_path, [line, other])  # type: ignore[list-item]
    first, second = read_predictions(file)
    assert isinstance(first, Prediction)
    assert first == line
    assert np.array_equal(first.truth_mask(), MASK)  # type: ignore[arg-type]
    assert np.array_equal(first.levels(), LEVELS)  # type: ignore[arg-type]
    assert second.model_dump_json() == other.model_dump_json()
    assert second.truth.label == "not_real"


def test_lines_move_with_their_files(tmp_path: Path) -> None:
    line = prediction(tmp_path, "tampered", SHARES, 0, MASK, LEVELS)
    (tmp_path / "a/b").mkdir(parents=True)
    moved = rebased(line, tmp_path / "a/b")
    assert moved.map_file == "../../maps/0.png"
    assert np.array_equal(moved.levels(), LEVELS)
    assert np.array_equal(moved.truth_mask(), MASK)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "found no JSON"),
        ("[" * 100_000, "found no JSON"),
        ("[]", "found no verdict"),
        ('{"schema": "other/1"}', "found no verdict"),
        ('{"schema": ["x"]}', "found no verdict"),
        ('{"schema": "sida.failure/1", "error": "not_found", "message": "m"}', "truth: Field req"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    good = prediction(tmp_path, "real", (0.8, 0.1, 0.1), 0).model_dump_json()
    file = tmp_path / "p.jsonl"
    file.write_text(f"{good}\n{line}\n")
    with pytest.raises(DataError, match=f"line 2: {sentence}"):
        list(read_predictions(file))


def test_no_file_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        list(read_predictions(tmp_path / "none.jsonl"))
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InputError, match="is empty"):
        list(read_predictions(tmp_path / "empty.jsonl"))


def test_a_map_of_another_size_is_refused(tmp_path: Path) -> None:
    line = prediction(tmp_path, "tampered", SHARES, 0, MASK, LEVELS[:4])
    with pytest.raises(PictureError, match="expected the picture's"):
        line.levels()
    (tmp_path / "maps/0.png").write_bytes(b"no picture")
    with pytest.raises(PictureError):
        line.levels()
