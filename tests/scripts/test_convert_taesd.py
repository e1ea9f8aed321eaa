"""The conversion of a tiny autoencoder: names by order, and files that are refused."""

from pathlib import Path
from types import ModuleType

import pytest
import torch

from sida.forge.tiny_autoencoder import TinyAutoencoder


def test_weights_get_our_names_in_order(script: ModuleType) -> None:
    network = TinyAutoencoder(32, normed=True)
    # Of the published files: 79 tensors each, with these sizes at the ends.
    for part, first, last in (
        ("encoder", (64, 3, 3, 3), (32,)),
        ("decoder", (64, 32, 3, 3), (3,)),
    ):
        state = network.get_submodule(part).state_dict()
        foreign = {str(number): tensor for number, tensor in enumerate(state.values())}
        assert len(foreign) == 79
        assert foreign["0"].shape == first
        assert foreign["78"].shape == last
        renamed = script.renamed(foreign, network, part)
        assert all(torch.equal(renamed[name], tensor) for name, tensor in state.items())


def test_other_files_are_refused(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"cannot be read .*: give a clone"):
        script.read(tmp_path / "taef2_encoder.pth", "0" * 64)
    (tmp_path / "taef2_encoder.pth").write_bytes(b"other")
    with pytest.raises(SystemExit, match=r"has SHA-256 .*: not converted"):
        script.read(tmp_path / "taef2_encoder.pth", "0" * 64)
