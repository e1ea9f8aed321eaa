"""What the documents say is run: commands with their output, Python, links, generated pages.

In README.md, CONTRIBUTING.md and docs/*.md:

    ```console            lines after `$ ` are run by bash in a folder with `examples` in it, which
    $ sida detect ...     a document's commands share. They must end with status 0, and what is
    photo.jpg  real       shown under one must be its standard output: numbers may differ, and a
    ```                   line with `...` alone stands for any lines.

    ```python             is run in the same folder, a document's blocks one after the other.

A block after the line `<!-- not run -->` is left out, and its commands must be in NOT_RUN below,
each with the reason: nothing is shown but not run by accident.
"""

import contextlib
import importlib.util
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from sida.train.config import TrainConfig

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *sorted((ROOT / "docs").glob("*.md")),
]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "examples/README.md",
]

NOT_RUN = {
    "sida adapt pictures --out mine": "needs pictures; tests/train/test_adaptation.py has the like",
    "sida detect photo.jpg --model mine": "as before",
    "sida adapt pictures ~/.local/share/sida/wrong --out mine": "as before",
    "sida wrong --check --model mine": "as before",
    "sida data export examples --to parquet --out exported": "is refused, with status 2",
    "sida train tiny data=photos seed=2 --out run": "is refused, with status 2",
    "python benchmarks/adaptation.py $SIDA_SHARED/data/ood_select": "takes ten minutes",
    "python benchmarks/stability.py --rounds 3": "takes minutes, and measures time",
    "make demo": "installs into .venv, which takes minutes",
    "make test": "would run this test again",
    "make check": "part of .ci/run",
    "make cpu-run": "takes minutes",
    "bash .ci/run": "would run this test again",
    "pip install sida": "needs a network",
    "pip install 'sida[serve]'": "needs a network",
    "sida evaluate pictures/val --explanations "
    "--similarity sentence-transformers/all-MiniLM-L6-v2 --out explained": "needs a network",
    "sida evaluate pictures/val --baseline hf:models/detector --labels fake=not_real,nature=real "
    '--baseline "command:python judge.py --fast" --out compared': (
        "needs a model; tests/evaluation/test_baselines.py runs its like"
    ),
    "sida calibrate photographs/ --out calibration.json": "needs photographs of one's own",
    "sida detect pictures/ --max-false-positives 0.05 --calibration calibration.json": (
        "needs that calibration; tests/contract/test_cli_budget.py runs its like"
    ),
    "sida detect pictures --engine ray --out verdicts": "needs Ray; tests/scale runs its like",
    "sida detect s3://bucket/pictures --engine ray --address head:6379 \\\n"
    "  --out s3://bucket/verdicts": "needs a cluster and a bucket",
    "sida detect s3://bucket/pictures --engine ray --shard 3/8 --out s3://bucket/verdicts/3": (
        "needs a bucket"
    ),
    "sida serve --engine ray --replicas 2": "needs Ray; tests/scale/test_serving.py runs its like",
    "sida serve --engine ray --config deploy/ray/serve.yaml": "needs Ray",
    "serve deploy deploy/ray/serve.yaml --address http://head:8265": "needs a cluster",
    "sida forge tiny photographs=examples/real count=45 --engine ray --out forged": (
        "needs Ray; tests/scale runs its like"
    ),
    "sida evaluate forged --engine ray --workers 2 --out evaluation": "needs Ray, as before",
    "python benchmarks/scale.py pictures": "needs Ray, and takes minutes",
    "python benchmarks/scale_s3.py pictures --limit 1000": "needs Ray and moto, and takes minutes",
    "python benchmarks/source_folds.py $SIDA_SHARED/data/train --forged runs/embedded "
    "--steps 300 --most 40 \\\n  --set crops=[96] --set threads=1 --set learning_rate=1e-3 "
    "--set average=0.98 --set warmup_steps=30": "takes an hour",
    "python benchmarks/forging.py --photographs FOLDER": "needs photographs, and takes a minute",
    "sida forge-autoencoder small photographs=FOLDER --out codecs": "takes minutes",
    "python scripts/convert_realesrgan.py --out codecs": "needs a network",
    "git clone https://github.com/madebyollin/taesd": "needs a network",
    "python scripts/convert_taesd.py taesd --out codecs": "needs that clone",
    "sida train windows data=FOLDER codecs=codecs --out runs/windows": "takes an hour",
    "python benchmarks/kill_scale.py --pictures 1536 --seed 1": "takes minutes",
    "python benchmarks/pairs.py PHOTOGRAPHS --autoencoders DIR": "takes many minutes",
    "python benchmarks/parity.py": "needs the recordings, and takes a minute",
    "python benchmarks/loading_memory.py": "writes a gigabyte, and takes minutes",
    "python benchmarks/kill_training.py": "takes minutes",
    "python benchmarks/training.py ../shared/oracle/sizes_mid.json --steps 1": "takes minutes",
    "sida benchmark --random-weights ../shared/oracle/sizes_mid.json --device cpu "
    "--dtype float32 \\\n  --batch-size 4 --json": "needs the file of sizes, and takes minutes",
    "python benchmarks/inference.py ../shared/oracle/sizes_mid.json --batch-size 4 --rounds 3": (
        "takes minutes"
    ),
    "sida benchmark": "takes a minute",
    "sida benchmark --model tiny": "takes a minute",
    "python benchmarks/quantization.py $SIDA_SHARED/data/val --sizes "
    "$SIDA_SHARED/oracle/sizes_mid.json": "needs torchao and the pictures, and takes minutes",
    "python benchmarks/planned_memory.py": "the benchmarks are not in the folder of this test",
    "python benchmarks/cold_start.py": "takes minutes",
    "python benchmarks/compression_history.py $SIDA_SHARED/data": (
        "needs the pictures, and takes minutes"
    ),
    "python benchmarks/folder.py --count 2000": "takes many minutes",
    "python benchmarks/serve_load.py --requests 2000": "takes minutes",
    "python benchmarks/serve_load.py --requests 800 --overload 5 --replicas 1": "takes minutes",
    "python benchmarks/serve_load.py --requests 800 --overload 5 --replicas 2": "takes minutes",
    "python benchmarks/hostile_uploads.py": "takes a minute",
    "sida evaluate $SIDA_SHARED/data/val --robustness --out evaluation": "takes half an hour",
    "torchrun --standalone --nproc_per_node=2 -m sida train tiny data=examples max_steps=2 \\\n"
    "  batch_size=6 crops=[32] trackers=[] workers=0 --out run-of-two": (
        "test_two_processes_take_the_steps_of_one runs its like"
    ),
    "accelerate launch --use_fsdp --fsdp_version 2 "
    "--fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP \\\n"
    "  --num_processes 8 --mixed_precision bf16 -m sida train sida-13b data=pictures \\\n"
    "  validation=held_back --out run": (
        "needs eight graphics cards; test_two_processes_take_the_steps_of_one shards on a CPU"
    ),
    **dict.fromkeys(
        (
            "docker build -f deploy/Containerfile -t sida .",
            "docker build -f deploy/ray/Containerfile -t sida-ray .",
            "kubectl apply -f deploy/ray/rayservice.yaml",
            "docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --network none sida detect "
            "--help",
            "docker run --rm --read-only --tmpfs /tmp --cap-drop ALL -p 127.0.0.1:8000:8000 sida",
            "HF_HOME=$PWD/models hf download saberzl/SIDA-7B",
            "docker run --rm --gpus all -v $PWD/models:/models:ro -p 127.0.0.1:8000:8000 sida \\\n"
            "  serve --host 0.0.0.0 --model sida-7b",
            "GRAFANA_PASSWORD=... docker compose -f deploy/compose.yaml up --build",
            "python3 -m venv /opt/sida && /opt/sida/bin/pip install 'sida[serve]'",
            "cp deploy/sida.service /etc/systemd/system/ && systemctl enable --now sida",
        ),
        "needs an engine for containers, a network or systemd; test_deploy.py checks the files",
    ),
    **dict.fromkeys(
        (
            "sida serve --port 8000",
            "curl -s -F file=@examples/full_synthetic/wall.jpg http://127.0.0.1:8000/v1/detect | j"
            "q -c '[.image, .label, .probabilities, .mask.area]'",
            "curl -s -F file=@examples/tampered/bench.jpg -F masks=true http://127.0.0.1:8000"
            "/v1/detect | jq -r .mask_png | base64 -d > mask.png",
            "curl -s -F file=@serve.log http://127.0.0.1:8000/v1/detect",
            "job=$(curl -s -F file=@examples/real/heath.jpg -F file=@examples/full_synthetic/"
            "wall.jpg http://127.0.0.1:8000/v1/detect/batch | jq -r .id)",
            "curl -s -H 'Accept: text/event-stream' http://127.0.0.1:8000/v1/jobs/$job | cut "
            "-c 1-70",
            "curl -s http://127.0.0.1:8000/v1/jobs/$job | jq -c '[.state, .done, .total, .res"
            "ults[].label]'",
            "openssl rand -hex 32 > desk.key",
            "printf 'keys:\\n- name: desk\\n  sha256: %s\\n  per_minute: 600\\n' $(tr -d '\\n' < d"
            "esk.key | sha256sum | cut -d ' ' -f 1) > keys.yaml",
            "sida serve --keys keys.yaml",
            'curl -s -H "Authorization: Bearer $(cat desk.key)" http://127.0.0.1:8000/v1/models',
        ),
        "needs a running service; tests/serve asks the same",
    ),
}
"""Command: why it is not run here."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind, its lines, where it begins, and whether it is marked as not run."""

    document: Path
    line: int
    kind: str
    lines: tuple[str, ...]
    run: bool


def blocks(document: Path) -> Iterator[Block]:
    """Every fenced block of a document."""
    lines = document.read_text(encoding="utf-8").splitlines() if document.exists() else []
    start = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = number
            continue
        before = next((text for text in lines[:start][::-1] if text.strip()), "")
        kind = lines[start].removeprefix("```").strip()
        run = before.strip() != "<!-- not run -->"
        yield Block(document, start + 1, kind, tuple(lines[start + 1 : number]), run)
        start = None


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block with the output that is shown for it."""
    command, output = "", []
    for line in block.lines:
        if command.endswith("\\"):
            command += "\n" + line
        elif line.startswith("$ "):
            if command:
                yield command, output
            command, output = line.removeprefix("$ "), []
        else:
            output.append(line)
    if command:
        yield command, output


def as_pattern(output: list[str]) -> str:
    """What the output must be like: numbers and the width of gaps may differ."""
    parts = [r"(.*\n)*?" if line.strip() == "..." else loose(line) + "\n" for line in output]
    return "".join(parts)


def loose(line: str) -> str:
    """A pattern for one line."""
    pieces = re.split(r"(\d+(?:\.\d+)?|\s+)", line.rstrip())
    return "".join(
        r"\d+(\.\d+)?" if part[:1].isdigit() else r"\s+" if part.isspace() else re.escape(part)
        for part in pieces
    )


def run(command: str, folder: Path) -> str:
    """The command's standard output; fails the test where it does not end with status 0."""
    search_path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": search_path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, f"$ {command}\n{result.stdout}{result.stderr}"
    return "".join(line.rstrip() + "\n" for line in result.stdout.splitlines())


@pytest.fixture
def folder(elsewhere: Path) -> Path:
    """The current folder, with the examples and the recipes in it and nothing else."""
    for name in ("examples", "configs"):
        (elsewhere / name).symlink_to(ROOT / name)
    return elsewhere


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_python_of_the_documents_work(document: Path, folder: Path) -> None:
    names: dict[str, object] = {}
    for block in blocks(document):
        if block.run and block.kind == "python":
            code = compile("\n" * block.line + "\n".join(block.lines), str(document), "exec")
            with contextlib.redirect_stdout(io.StringIO()):
                exec(code, names)
        for command, output in commands(block) if block.run and block.kind == "console" else ():
            printed = run(command, folder)
            if output:
                assert re.fullmatch(as_pattern(output), printed), f"$ {command}\n{printed}"


def test_only_the_listed_commands_are_not_run() -> None:
    unrun = {
        command
        for document in DOCUMENTS
        for block in blocks(document)
        if block.kind == "console" and not block.run
        for command, _ in commands(block)
    }
    assert unrun <= set(NOT_RUN)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not heading or heading in headings(target), f"{page.name} links to {link}"


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["cli.md", "recipe.md"])
def test_a_generated_page_is_current(generate: ModuleType, page: str) -> None:
    current = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert current == generate.PAGES[page](), "run `make docs`"


def test_every_key_of_a_recipe_is_described(generate: ModuleType) -> None:
    assert [key for key, field in generate.keys(TrainConfig) if not field.description] == []


def test_this_test_can_fail(folder: Path) -> None:
    document = folder / "page.md"
    document.write_text("text\n```console\n$ echo a  1.5 \\\n  b\na 2 b\n$ true\n...\n```\n")
    (block,) = blocks(document)
    (first, output), (second, _) = commands(block)
    assert (first, second) == ("echo a  1.5 \\\n  b", "true")
    assert re.fullmatch(as_pattern(output), run(first, folder))
    assert not re.fullmatch(as_pattern(["a 2 c"]), run(first, folder))
    with pytest.raises(AssertionError, match="false"):
        run("false", folder)
