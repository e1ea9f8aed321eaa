"""Functions called in workers, of which some die; evaluations and forged sets made so."""

import json
import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sida import evaluation, scale
from sida.errors import ConfigError, InputError, MissingExtra, PictureError, SidaError
from sida.evaluation import Options
from sida.forge import forge
from sida.forge.config import read_config
from sida.scale import cluster, forging
from sida.scale import pool as pool_module
from sida.scale.pool import WorkerPool
from tests.forge.conftest import photo
from tests.small import labelled_folder

ADDRESS = "127.0.0.1:1"
"""Nobody answers there."""


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    pytest.importorskip("ray", reason="needs Ray: pip install 'sida[ray]'")
    with cluster.cluster(None, 2) as started:
        yield started


def test_a_worker_that_dies_loses_nothing_and_an_error_is_a_sentence(
    ray: Any, tmp_path: Path
) -> None:
    died = tmp_path / "died"

    def double(number: int) -> int:
        if number == 3 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 100:
            raise MissingExtra("it", "extra", "This")
        return 2 * number

    with WorkerPool(None, 2) as pool:
        assert sorted(pool.map(double, range(9))) == list(range(0, 18, 2))
        assert died.exists()
        assert list(pool.map(double, [])) == []
        with pytest.raises(MissingExtra, match=r"pip install 'sida\[extra\]'"):
            list(pool.map(double, [1, 100]))


def test_an_error_of_a_worker_keeps_its_type() -> None:
    def fail(error: SidaError) -> None:
        raise error

    worker = pool_module._Worker(os.getcwd())
    worker.function, worker.reference = fail, 1
    too_large = PictureError("b", "too_large")
    for error in (InputError("a"), MissingExtra("it", "extra", "This"), too_large):
        _, raised = pickle.loads(pickle.dumps(worker.call([1], error)))
        assert (type(raised), str(raised)) == (type(error), str(error))
        assert vars(raised) == vars(error)


def test_a_folder_that_a_worker_does_not_see_is_named(tmp_path: Path) -> None:
    def fail(_: object) -> None:
        raise InputError("'data' does not exist")

    worker = pool_module._Worker(str(tmp_path / "gone"))
    worker.function, worker.reference = fail, 1
    _, error = worker.call([1], None)
    assert isinstance(error, InputError)
    assert f"does not see the folder {str(tmp_path / 'gone')!r}" in str(error)


@pytest.mark.slow
def test_an_evaluation_gives_the_same(ray: Any, monkeypatch: Any, tmp_path: Path) -> None:
    data = labelled_folder(tmp_path / "data", 11)
    (data / "real/real1.png").write_bytes(b"broken")
    (data / "masks/tampered1_mask.png").write_bytes(b"broken")
    monkeypatch.chdir(tmp_path)
    options = Options(leakage=False)
    plain = evaluation.evaluate(["data"], "plain", options=options)
    with_ray = scale.evaluate(["data"], "ray", options=options, workers=2)
    assert written(tmp_path / "plain") == written(tmp_path / "ray")
    assert list(with_ray["data"].rows.notes) == list(plain["data"].rows.notes)
    again = scale.evaluate(["data"], "plain", options=options)
    assert again["data"].as_json() == plain["data"].as_json()


@pytest.mark.slow
def test_a_forged_set_has_the_same_bytes(ray: Any, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for seed in range(5):
        Image.fromarray(photo(seed)).save(folder / f"{seed}.png")
    config = read_config(
        "tiny",
        (
            f"photographs={folder}", "count=10",
            "storage.sides=[64, 72]", "tampering={copy_move: 1}", "workers=2",
            "autoencoders=[{name: nearest, width: 8, steps: 1}]",
        ),
    )  # fmt: skip
    made = scale.forge(config, tmp_path / "ray")
    expected = bytes_of(forge(config.model_copy(update={"workers": 1}), tmp_path / "plain").out)
    assert made.counts == {"real": 4, "full_synthetic": 3, "tampered": 3}
    assert bytes_of(made.out) == expected

    def stop(what: str, done: int, total: int) -> None:
        if what == "units" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scale.forge(config, tmp_path / "again", progress=stop)
    assert (tmp_path / "again/.forge").exists()
    assert bytes_of(scale.forge(config, tmp_path / "again").out) == expected


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a worker does not see .*nowhere'"):
        forging._make(abs, tmp_path / "nowhere/.forge/run.json", 1)


def written(out: Path) -> dict[str, Any]:
    """All files of an evaluation, without how long it took."""
    files: dict[str, Any] = {}
    for file in out.rglob("*"):
        if file.suffix == ".jsonl":
            lines = [json.loads(line) for line in file.read_text().splitlines()]
            files[str(file.relative_to(out))] = [item | {"seconds": 0} for item in lines]
        elif file.suffix in (".png", ".json", ".csv"):
            files[str(file.relative_to(out))] = file.read_bytes()
    return files


@pytest.mark.parametrize(
    ("address", "kind", "sentence"),
    [
        ("nowhere", ConfigError, "the address is 'nowhere', expected HOST:PORT or auto"),
        (ADDRESS, InputError, f"no Ray answers at '{ADDRESS}'"),
    ],
)
def test_an_address_nobody_answers_at(
    ray: Any, tmp_path: Path, address: str, kind: Any, sentence: str
) -> None:
    with pytest.raises(kind, match=f"^{sentence}"):
        scale.evaluate(["data"], tmp_path / "out", address=address)
    with pytest.raises(kind, match=f"^{sentence}"):
        scale.forge("tiny", tmp_path / "out", address=address)
    assert not (tmp_path / "out").exists()


def test_without_ray_a_sentence_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'sida\[ray\]'"):
        scale.evaluate(["data"], tmp_path / "out")
    with pytest.raises(MissingExtra, match=r"pip install 'sida\[ray\]'"):
        scale.forge("tiny", tmp_path / "out")
