"""The rooms import in one direction, and torch stays in the rooms that compute with it."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
ORDER = (
    "errors | formats < files | settings < run_folder < image < html | options | verdict "
    "< data | explanation | provenance < evidence | forge | model | pairs < inference < detector "
    "< benchmark | evaluation < train < report < serve < scale < cli"
)
WITHOUT_TORCH = {
    "errors",
    "formats",
    "files",
    "settings",
    "run_folder",
    "image",
    "options",
    "html",
    "verdict",
    "data",
    "evidence",
    "pairs",
    "explanation",
    "provenance",
    "report",
}


def contracts() -> dict[str, dict[str, list[str]]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {contract["type"]: contract for contract in settings["contracts"]}


def rooms() -> set[str]:
    """What stands in the package: modules, and folders with modules in them."""
    package = ROOT / "sida"
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    return modules | {path.parent.name for path in package.glob("*/*.py")}


def test_the_order_is_the_documented_one() -> None:
    levels = [level.replace("(", "").replace(")", "") for level in contracts()["layers"]["layers"]]
    assert levels[::-1] == ORDER.split(" < ")


def test_every_room_without_torch_is_held_to_it() -> None:
    held = {module.removeprefix("sida.") for module in contracts()["forbidden"]["source_modules"]}
    assert held == WITHOUT_TORCH & rooms()


def test_the_contracts_are_kept() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:]


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "common", "helpers", "misc"}
    assert [path for path in (ROOT / "sida").rglob("*.py") if path.stem in drawers] == []
