"""One object for the command line, Ray Serve's file and the app."""

import math
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from sida.cli import app
from sida.errors import ConfigError, InputError
from sida.model.budget import BudgetCalibration
from sida.options import ModelOptions
from sida.serve import ServeSettings
from tests.provenance import signing


def test_defaults_of_the_model_are_those_of_a_detector_but_for_the_size_of_a_picture() -> None:
    assert ServeSettings().model_options() == ModelOptions(max_pixels=40_000_000)


def test_units_are_those_of_the_command_line() -> None:
    settings = ServeSettings(max_upload=0.5, max_pixels=2, batch_size=3, random_weights="tiny")
    assert settings.upload_bytes == 500_000
    options = ModelOptions(random_weights="tiny", batch_size=3, max_pixels=2_000_000)
    assert settings.model_options() == options


def test_files_are_read_when_the_settings_are_made(tmp_path: Path) -> None:
    trust, keys = tmp_path / "trust.pem", tmp_path / "keys.yaml"
    trust.write_text(signing.trusted())
    keys.write_text(yaml.safe_dump({"keys": [{"name": "desk", "sha256": "0" * 64}]}))
    settings = ServeSettings(trust=trust, keys=str(keys))
    trust.unlink()
    keys.unlink()
    assert settings.model_options().trust == signing.trusted()
    assert [key.name for key in settings.keys] == ["desk"]
    with pytest.raises(InputError, match="cannot be read"):
        ServeSettings(trust=trust)
    with pytest.raises(ConfigError, match="there is no file"):
        ServeSettings(keys=keys)


def test_a_calibration_is_read_when_the_settings_are_made(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    BudgetCalibration.of("desk", "0" * 64, {"as_is": [0.5]}).save(path)
    settings = ServeSettings(calibration=path, max_false_positives=0.05)
    text = path.read_text()
    path.unlink()
    assert settings.model_options().calibration == text
    with pytest.raises(InputError, match="cannot be read"):
        ServeSettings(calibration=path)


@pytest.mark.parametrize("share", [-1.0, 0.0, 1.0, math.nan])
def test_a_budget_that_is_no_share_is_a_sentence(share: float) -> None:
    with pytest.raises(ConfigError, match="expected a share above 0 and below 1"):
        ServeSettings(max_false_positives=share)


@pytest.mark.parametrize(
    "settings",
    [
        {"places": 0},
        {"seconds": 3},
        {"model": "a", "random_weights": "b"},
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ServeSettings(**settings)


@pytest.mark.parametrize("name", ["max_wait", "places", "max_upload", "max_pixels", "time_limit"])
def test_the_help_says_the_defaults(name: str) -> None:
    result = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"})
    _, _, options = " ".join(result.stdout.split()).partition("Options:")
    _, _, text = options.partition(f"--{name.replace('_', '-')} ")
    default = ServeSettings.model_fields[name].default
    assert f"(default: {default:g})" in text.partition(" --")[0]
