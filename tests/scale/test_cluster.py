"""A Ray that cannot be started is an error of ours, without Ray here."""

from types import SimpleNamespace

import pytest

from sida.errors import SidaError
from sida.scale import cluster


def test_a_ray_that_does_not_come_up_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*_: object, **__: object) -> None:
        raise Exception("The current node timed out during startup. This could happen because ...")

    ray = SimpleNamespace(is_initialized=lambda: False, init=init)
    monkeypatch.setattr(cluster, "require_ray", lambda: ray)
    message = r"did not start on this machine \(The current node timed out during startup\): run "
    with pytest.raises(SidaError, match=message), cluster.cluster(None, 1):
        pass
