"""`sida forge` and `sida forge-autoencoder`: thin, and with sentences for what goes wrong."""

from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from sida.cli import forge
from sida.cli.errors import Verbs

app = typer.Typer(cls=Verbs)
forge.register(app)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        coarse = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((100, 90)).save(folder / f"{number}.png")
    return folder


SMALL = ("autoencoders=[{name: x, width: 8, steps: 1}]", "storage.sides=[64, 72]", "workers=1")


def test_a_set_is_made_and_counted(photos: Path, tmp_path: Path) -> None:
    weights, out = str(tmp_path / "weights"), tmp_path / "set"
    trained = CliRunner().invoke(
        app, ["forge-autoencoder", "tiny", f"photographs={photos}", *SMALL, "--out", weights]
    )
    assert trained.exit_code == 0, trained.output
    assert "The autoencoder x is in" in trained.stderr
    keys = [f"photographs={photos}", "count=7", f"weights={weights}", *SMALL]
    made = CliRunner().invoke(app, ["forge", "tiny", *keys, "--out", str(out)])
    assert made.exit_code == 0, made.output
    lines = made.stdout.splitlines()
    assert lines[0] == f"{out}: 7 pictures (3 real, 2 full_synthetic, 2 tampered)"
    assert "  reconstruct             2" in lines
    assert not (out / "autoencoders").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tinny"], "Error: there is no configuration 'tinny'"),
        (["tiny"], "Error: no photographs were named: give photographs=FOLDER"),
        (["tiny", "photographs=nowhere"], "Error: photographs: 'nowhere' was not found"),
        (
            ["tiny", "photos=x"],
            "Error: tiny: photos: there is no such key; the keys are photograph",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    arguments: list[str], message: str, tmp_path: Path, elsewhere: Path
) -> None:
    for verb in ("forge", "forge-autoencoder"):
        result = CliRunner().invoke(app, [verb, *arguments, "--out", "out"])
        assert result.exit_code == 2
        assert message in result.stderr
        assert "Traceback" not in result.output
        assert not (elsewhere / "out").exists()


def test_help_has_an_example() -> None:
    for verb in ("forge", "forge-autoencoder"):
        assert (
            f"sida {verb} small photographs=photos"
            in CliRunner().invoke(app, [verb, "--help"]).output
        )
