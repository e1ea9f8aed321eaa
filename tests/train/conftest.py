"""A labelled folder of six small pictures."""

from pathlib import Path

import pytest

from tests.small import labelled_folder


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_folder(tmp_path_factory.mktemp("labelled"), 2)
