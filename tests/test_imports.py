"""What `import sida` gives, and what it does not load."""

import importlib.metadata
import subprocess
import sys

import pytest

import sida

HEAVY = "torch transformers numpy PIL"


def loaded(code: str, names: str) -> list[str]:
    """Which of these packages a fresh interpreter has loaded after running `code`."""
    check = f"\nimport sys; print(*[name for name in {names.split()!r} if name in sys.modules])"
    command = [sys.executable, "-c", code + check]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return result.stdout.splitlines()[-1].split()


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded("import sida", HEAVY) == []


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--help"], ["--version"], ["detect", "--help"], ["inspect", "--help"]),
        *(["train", "--help"], ["serve", "--help"]),
    ],
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"import sys; sys.argv = ['sida', *{arguments!r}]\nfrom sida.cli import main\n"
    assert loaded(code + "try: main()\nexcept SystemExit: pass", HEAVY) == []


def test_pictures_and_verdicts_do_without_torch() -> None:
    code = "import sida.verdict, sida.files, sida.image.read, sida.image.overlay"
    assert loaded(code, "torch transformers") == []


def test_the_root_exports_exactly_these() -> None:
    names = ["Detector", "Request", "Sida", "SidaConfig", "SidaProcessor", "Verdict", "__version__"]
    assert sida.__all__ == names
    assert set(names) <= set(dir(sida))
    for name in names:
        assert getattr(sida, name) is not None
    assert sida.Detector.__name__ == "Detector"


def test_another_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        AttributeError, match="has no attribute 'Detektor'; it has Detector, Request"
    ):
        _ = sida.Detektor


def test_the_version_is_that_of_the_installed_package() -> None:
    assert importlib.metadata.version("sida") == sida.__version__
