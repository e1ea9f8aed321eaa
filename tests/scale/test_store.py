import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from sida.errors import ConfigError, SidaError
from sida.scale import store as store_module
from sida.scale.store import Store, exclusive


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_files_by_their_names(kind: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "out" if kind == "folder" else "memory://bucket/files")
    assert store.read("a/b") is None
    assert store.names("a") == set()
    store.write("a/b", b"1")
    store.write("a/b", b"2")
    store.write("a/c", b"3")
    assert store.read("a/b") == b"2"
    assert store.names("a") == {"b", "c"}
    store.remove("a/b")
    store.remove("a/b")
    assert [store.has(name) for name in ("a/b", "a/c")] == [False, True]


def enter(store: Store) -> None:
    with exclusive(store):
        pass


def test_a_second_driver_is_refused(tmp_path: Path) -> None:
    with exclusive(Store(tmp_path)), pytest.raises(ConfigError, match="another run is writing"):
        enter(Store(tmp_path))
    enter(Store(tmp_path))


def hold(folder: Path, is_held: "multiprocessing.synchronize.Event") -> None:
    with exclusive(Store(folder)):
        is_held.set()
        signal.pause()


def test_a_killed_driver_holds_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    is_held = context.Event()
    driver = context.Process(target=hold, args=(tmp_path, is_held))
    driver.start()
    assert is_held.wait(60)
    with pytest.raises(ConfigError, match="another run"):
        enter(Store(tmp_path))
    assert driver.pid is not None
    os.kill(driver.pid, signal.SIGKILL)
    driver.join()
    enter(Store(tmp_path))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BEAT", 0.05)


def test_a_second_driver_of_a_bucket_is_refused(quick: None) -> None:
    store = Store("memory://bucket/run")
    with exclusive(store), pytest.raises(ConfigError, match="another run is writing to"):
        enter(store)
    assert not store.has("lock.json")


def test_a_driver_of_a_bucket_that_shows_no_life_holds_nothing(quick: None) -> None:
    store = Store("memory://bucket/abandoned")
    store.write("lock.json", b'{"driver": "gone", "beat": 7}')
    enter(store)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SidaError, match="cannot be written to"):
        enter(Store(tmp_path / "file" / "out"))
