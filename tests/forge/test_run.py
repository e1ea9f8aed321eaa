"""Runs: the same bytes however they are made, whole sets, and folders that are not touched."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
from PIL import Image

import sida.data
from sida.errors import ConfigError, InputError, PictureError, SidaError
from sida.explanation.cues import Cue
from sida.explanation.wording import facts_of, is_complete, statements, supported
from sida.forge import ForgeConfig, forge, train_autoencoders
from sida.forge.config import read_config
from sida.verdict import LABELS

from .codec_folders import write_enlarger

COUNT = 22  # seven units of three, and one of a single picture


@pytest.fixture(scope="module")
def weights(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained autoencoder that all runs here use."""
    out = tmp_path_factory.mktemp("weights")
    overrides = (f"photographs={photographs}", "autoencoders=[{name: nearest, width: 8, steps: 3}]")
    assert train_autoencoders("tiny", out, overrides) == {"nearest": out / "nearest"}
    return out


@pytest.fixture(scope="module")
def config(photographs: Path, weights: Path) -> ForgeConfig:
    overrides = (
        f"photographs={photographs}", f"weights={weights}", f"count={COUNT}", "workers=1",
        "storage.sides=[64, 96]", "autoencoders=[{name: nearest, width: 8, steps: 3}]",
    )  # fmt: skip
    return read_config("tiny", overrides)


@pytest.fixture(scope="module")
def forged(config: ForgeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forge(config, tmp_path_factory.mktemp("forged") / "set").out


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def rows(folder: Path) -> list[dict[str, Any]]:
    return parquet.read_table(folder / "manifest.parquet").to_pylist()


def test_the_layout_is_that_of_a_split(forged: Path) -> None:
    data = sida.data.open(forged)
    assert data.counts() == {"real": 8, "full_synthetic": 7, "tampered": 7}
    for sample in data:
        loaded = sample.load()
        assert sample.description
        assert sample.group
        assert (loaded.mask is not None) == (sample.label == "tampered")
        if loaded.mask is not None:
            assert set(np.unique(loaded.mask)) == {0, 255}
    assert list(data.report) == []
    assert {path.name for path in forged.iterdir()} == {
        *LABELS, "masks", "description", "manifest.parquet"
    }  # fmt: skip


def test_the_manifest_tells_everything(forged: Path, photographs: Path) -> None:
    manifest = rows(forged)
    assert len(manifest) == COUNT
    for row in manifest:
        file = (forged / row["image"]).read_bytes()
        with Image.open(forged / row["image"]) as image:
            assert image.format == row["format"]
            assert image.size == (row["width"], row["height"])
        original = photographs / row["original"]
        assert hashlib.sha256(original.read_bytes()).hexdigest() == row["original_sha256"]
        assert row["group"] == row["original"]
        assert file
        assert all(isinstance(json.loads(row[key]), list) for key in ("post_processing", "crop"))
        assert isinstance(json.loads(row["parameters"]), dict)
        assert (row["operation"] == "none") == (row["label"] == "real")
        assert (row["region"] is not None) == (row["label"] == "tampered")
        if row["operation"].startswith("splice"):
            assert row["donor"] != row["original"]
            assert row["donor_group"] != row["group"]


def test_the_classes_share_what_could_give_them_away(forged: Path) -> None:
    keys = ("unit", "format", "quality", "subsampling", "width", "height", "group", "source")
    alike = {
        label: [tuple(row[key] for key in keys) for row in rows(forged) if row["label"] == label]
        for label in LABELS
    }
    assert alike["real"][:7] == alike["full_synthetic"] == alike["tampered"]
    shared = Counter((row["unit"], row["crop"], row["post_processing"]) for row in rows(forged))
    assert sorted(shared.values()) == [1, *[3] * 7]


def test_descriptions_state_what_was_measured(forged: Path) -> None:
    for sample, row in zip(sida.data.open(forged), rows(forged), strict=True):
        assert row["image"] == sample.name
        assert sample.description == row["description"]
        assert is_complete(row["description"])
        loaded = sample.load()
        cues = tuple(Cue(**cue) for cue in json.loads(row["cues"]))
        mask = None if loaded.mask is None else loaded.mask > 0
        facts = facts_of(sample.label, mask, cues)
        for statement in statements(row["description"]):
            assert supported(statement, facts) is True, statement


def test_operations_take_turns(config: ForgeConfig, tmp_path: Path) -> None:
    from sida.forge.unit import _by_turns

    weights = read_config("small").tampering
    counts = Counter(_by_turns(weights, unit, 0) for unit in range(1000))
    for name, weight in weights.items():
        assert counts[name] == pytest.approx(1000 * weight / sum(weights.values()), abs=3)
    assert {_by_turns({"a": 0, "b": 1, "c": 0}, unit, 0.3) for unit in range(50)} == {"b"}


def test_another_run_gives_the_same_bytes(
    config: ForgeConfig, forged: Path, tmp_path: Path
) -> None:
    again = forge(config, tmp_path / "again").out
    assert digests(again) == digests(forged)


def test_a_mapper_may_do_the_units_in_any_order(
    config: ForgeConfig, forged: Path, tmp_path: Path
) -> None:
    calls: list[tuple[str, int, int]] = []
    result = forge(
        config, tmp_path / "mapped",
        mapper=lambda function, units: map(function, reversed(units)),
        progress=lambda *call: calls.append(call),
    )  # fmt: skip
    assert digests(result.out) == digests(forged)
    assert calls == [("units", count, 8) for count in range(9)]


@pytest.mark.parametrize("after", [0, 1, 5, 8])
def test_a_run_that_stopped_goes_on_to_the_same_bytes(
    config: ForgeConfig, forged: Path, tmp_path: Path, after: int
) -> None:
    class Stop(Exception):
        pass

    def stop(stage: str, count: int, total: int) -> None:
        if count == after:
            raise Stop

    out = tmp_path / "stopped"
    with pytest.raises(Stop):
        forge(config, out, progress=stop)
    assert not (out / "manifest.parquet").exists()
    (out / "real").mkdir(exist_ok=True)
    (out / "real" / ".0123456789ab.part.jpg").write_bytes(b"half a pic")  # as a kill leaves it
    (out / ".0123456789ab.part.parquet").write_bytes(b"")
    assert forge(config, out).counts == {"real": 8, "full_synthetic": 7, "tampered": 7}
    assert digests(out) == digests(forged)


def test_codecs_of_a_folder_regenerate_regions_alone(config: ForgeConfig, tmp_path: Path) -> None:
    write_enlarger(tmp_path / "codecs" / "enlarger")
    changes = {"codecs": tmp_path / "codecs", "tampering": {"regenerate_filled": 1}, "count": 24}
    manifest = rows(forge(config.model_copy(update=changes), tmp_path / "set").out)
    generators = {
        label: {x["generator"] for x in manifest if x["label"] == label} for label in LABELS
    }
    assert generators["full_synthetic"] == {"nearest"}
    assert generators["tampered"] >= {"nearest", "enlarger_4"}
    filled = [row for row in manifest if row["operation"] == "regenerate_filled"]
    assert len(filled) > 5
    for row in filled:
        assert (row["donor"] is not None) == (
            json.loads(row["parameters"])["filling"] == "photograph"
        )


def test_a_finished_run_is_left_alone(config: ForgeConfig, forged: Path) -> None:
    before = digests(forged)
    result = forge(config, forged, mapper=lambda function, units: pytest.fail("works again"))
    assert result.counts["tampered"] == 7
    assert sum(result.operations.values()) == 14
    assert digests(forged) == before


def test_a_folder_of_another_run_is_refused(config: ForgeConfig, forged: Path) -> None:
    other = config.model_copy(update={"seed": 5})
    with pytest.raises(ConfigError, match=r"another run: seed=5 \(was \d\)"):
        forge(other, forged)


def test_a_folder_with_other_things_is_refused(config: ForgeConfig, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("dear")
    with pytest.raises(InputError, match=r"holds no run of this command \(found 'thesis.txt'\)"):
        forge(config, tmp_path)
    with pytest.raises(InputError, match=r"is a file, expected a folder"):
        forge(config, tmp_path / "thesis.txt")
    assert digests(tmp_path).keys() == {"thesis.txt"}


def test_seeds_differ(config: ForgeConfig, forged: Path, tmp_path: Path) -> None:
    other = forge(config.model_copy(update={"seed": 1, "count": 3}), tmp_path / "other").out
    assert not set(digests(other).values()) & set(digests(forged).values())


def test_unreadable_and_small_photographs_give_way(
    config: ForgeConfig, photographs: Path, tmp_path: Path
) -> None:
    mixed = tmp_path / "photos"
    mixed.mkdir()
    for file in sorted(photographs.iterdir())[:3]:
        (mixed / file.name).write_bytes(file.read_bytes())
    (mixed / "broken.jpg").write_bytes(b"no picture")
    Image.new("RGB", (20, 20)).save(mixed / "icon.png")
    changed = {"photographs": mixed, "count": 15}
    result = forge(config.model_copy(update=changed), tmp_path / "out")
    assert {row["original"] for row in rows(result.out)} == {"p0.jpg", "p1.jpg", "p2.jpg"}


def test_no_usable_photograph(config: ForgeConfig, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "photos" / "icon.png")
    with pytest.raises(SidaError, match="none of 1 photographs tried can be used: expected read"):
        forge(config.model_copy(update={"photographs": tmp_path / "photos"}), tmp_path / "out")


def test_one_photograph_is_enough(config: ForgeConfig, photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes((photographs / "p0.jpg").read_bytes())
    changed = {"photographs": tmp_path / "photos", "count": 24}
    assert forge(config.model_copy(update=changed), tmp_path / "out").counts["tampered"] == 8


def test_other_errors_end_the_run_and_leave_it_to_be_resumed(
    config: ForgeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise PictureError("broken on purpose")

    with monkeypatch.context() as patched:
        patched.setattr("sida.forge.unit.random_steps", broken)
        with pytest.raises(PictureError, match="broken on purpose"):
            forge(config, tmp_path / "out")
    assert forge(config, tmp_path / "out").counts["real"] == 8


PROGRAM = """
import sys
from sida.forge import forge
if __name__ == "__main__":
    forge(sys.argv[1], sys.argv[2], sys.argv[3:])
"""


@pytest.mark.slow
def test_killed_with_its_processes_and_started_again(
    config: ForgeConfig, forged: Path, photographs: Path, weights: Path, tmp_path: Path
) -> None:
    out, program = tmp_path / "set", tmp_path / "program.py"
    program.write_text(PROGRAM)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(config.model_dump(mode="json")))
    command = [sys.executable, str(program), str(recipe), str(out), "workers=2"]
    running = subprocess.Popen(command)
    while running.poll() is None and len([*out.glob(".forge/units/*/*.json")]) < 2:
        time.sleep(0.02)
    children = children_of(running.pid)
    running.send_signal(signal.SIGKILL)
    running.wait()
    deadline = time.monotonic() + 20
    while any(map(is_running, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, children))
    forge(config, out)
    assert digests(out) == digests(forged)


def children_of(pid: int) -> list[int]:
    """Processes whose parent it is, where the system tells."""
    children = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
        except (OSError, ValueError):
            continue
        if int(fields["PPid"]) == pid:
            children.append(int(status.parent.name))
    return children


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
