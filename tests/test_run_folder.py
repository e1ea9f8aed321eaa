"""The folder of a run: claimed, resumed, refused, started over; and held by one process."""

import json
import multiprocessing
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from sida.errors import ConfigError, InputError
from sida.run_folder import LocalFolder, RunFolder, RunRecord, difference, locked


def outputs(record: RunRecord) -> Iterable[str]:
    return ["parts/*.txt", "whole"]


def folder(out: Path) -> RunFolder:
    return RunFolder(LocalFolder(out), "run.json", "data", outputs, defaults={"later": 3})


def begin(out: Path, identity: RunRecord) -> None:
    assert folder(out).claim(identity) is None
    folder(out).begin(identity)
    for name in ("parts/1.txt", "whole/deep/a"):
        (out / name).parent.mkdir(parents=True)
        (out / name).touch()


def test_the_same_run_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    begin(out, {"data": "a", "sizes": (1, 2)})
    (out / "parts/.0123456789ab.part.txt").touch()
    (out / ".0123456789ab.part").mkdir()
    assert folder(out).claim({"data": "a", "sizes": (1, 2)}) == {"data": "a", "sizes": [1, 2]}
    assert {path.name for path in out.rglob("*")} == {
        *("run.json", "parts", "1.txt", "whole", "deep", "a"),
    }


def test_a_key_that_is_newer_than_the_run_had_its_default(tmp_path: Path) -> None:
    begin(tmp_path, {"data": "a"})
    assert folder(tmp_path).check({"data": "a", "later": 3})
    with pytest.raises(ConfigError, match=r"another run: later=4 \(was 3\)\. Use"):
        folder(tmp_path).check({"data": "a", "later": 4})


def test_fresh_removes_what_was_made_and_nothing_else(tmp_path: Path) -> None:
    begin(tmp_path, {"data": "a"})
    for name in ("notes.txt", "parts/notes.md"):
        (tmp_path / name).touch()
    assert folder(tmp_path).claim({"data": "b"}, fresh=True) is None
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        *("notes.md", "notes.txt", "parts", "run.json")
    ]
    folder(tmp_path).begin({"data": "b"})
    assert folder(tmp_path).claim({"data": "b"}) == {"data": "b"}


def test_a_removal_that_was_killed_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path, {"data": "a"})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LocalFolder, "remove_matching", killed)
        with pytest.raises(KeyboardInterrupt):
            folder(tmp_path).claim({"data": "a"}, fresh=True)
    assert folder(tmp_path).check({"data": "a"}) is None
    assert folder(tmp_path).claim({"data": "a"}) is None
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for fresh in (False, True):
        with pytest.raises(InputError, match=r"is not empty and holds no run .*'file'"):
            folder(tmp_path).claim({"data": "a"}, fresh=fresh)
    with pytest.raises(InputError, match="is a file, expected a folder"):
        folder(tmp_path / "file").claim({"data": "a"})
    (tmp_path / "run.json").write_text('{"jobs": 1}')
    with pytest.raises(ConfigError, match=r"holds a run.json of something else"):
        folder(tmp_path).claim({"data": "a"}, fresh=True)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ConfigError, match=r"run.json cannot be read"):
        folder(tmp_path).claim({"data": "a"}, fresh=True)


def test_differences_are_told_as_they_are_typed() -> None:
    options = {"masks": "--masks", "data": "DATA", "weights": "weights"}
    now = {"data": ["a", "b"], "masks": None, "lora": {"rank": 4}, "weights": "f" * 64}
    before = {"data": ["a"], "masks": "all", "lora": {"rank": 8}, "weights": "e" * 64}
    assert difference(now, before, lambda key: options.get(key, key)) == (
        "DATA a b (was a), --masks left out (was all), lora.rank=4 (was 8) and 1 more"
    )
    assert difference({"weights": "f" * 64}, before) == "weights (changed)"
    assert difference({"lora": None, "on": True}, {**before, "on": False}) == (
        "lora=left out (was rank=8), on=yes (was no)"
    )
    assert difference(json.loads(json.dumps(before)), before) == ""


def test_one_process_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with locked(out):
        with pytest.raises(ConfigError, match="another run is writing to"), locked(out):
            pass
        (out / "result").touch()
    assert [path.name for path in out.iterdir()] == ["result"]
    with locked(tmp_path / "nothing"):
        pass
    assert not (tmp_path / "nothing").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_child_does_not_hold_the_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    gate = context.Event()
    with locked(tmp_path):
        child = context.Process(target=gate.wait, args=(60,))
        child.start()
    with locked(tmp_path):
        gate.set()
    child.join()
