"""Compare what two commits write for the same inputs, byte for byte.

    python scripts/compare_commits.py 091053d HEAD
    python scripts/compare_commits.py v1.0 HEAD --inputs folder/of/labelled/pictures --model small

Checks out both commits into temporary work trees and runs with each, in the environment of this
Python: `sida detect --json`, `inspect`, `evaluate`, `data check --json`, `data export` to each
format, the service's schema without its sentences, and the names of all options. Measured times
and the commits' own folders are masked. Exit status: 0 nothing differs, 1 something does (the
lines that differ are printed), 2 a command failed where the other commit's did not.
"""

import argparse
import difflib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
VERBS = (
    "detect", "chat", "inspect", "report", "serve", "forge", "forge-autoencoder", "train",
    "evaluate", "models", "convert", "benchmark", "data check", "data stats", "data export",
    "data download",
)  # fmt: skip
SECONDS = re.compile(r'("(?:\w*_)?seconds(?:_\w*)?": ?)[0-9.e-]+')
OPTION = re.compile(r"^ +(?:-\w, )?(--[a-z-]+(?:/--[a-z-]+)?)", re.MULTILINE)
LINES, CONTEXT = 40, 70
"""Lines of a diff that are printed, and characters of each around the first difference."""


@dataclass(frozen=True)
class Checkout:
    """A commit in a work tree of its own, and a folder for what it writes."""

    tree: Path
    out: Path
    inputs: Path
    model: str

    def sida(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sida", *arguments],
            cwd=self.out,
            env=self.environment,
            capture_output=True,
            text=True,
        )

    @property
    def environment(self) -> dict[str, str]:
        # Without safe paths, `-m` would prefer a package of the folder that this runs in.
        return {
            **os.environ,
            "PYTHONPATH": str(self.tree),
            "PYTHONSAFEPATH": "1",
            "COLUMNS": "100",
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--inputs", type=Path, default=REPOSITORY / "examples")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--only", help="comparisons to make, separated by commas")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(COMPARISONS)
    with tempfile.TemporaryDirectory() as folder:
        checkouts = []
        for name, commit in (("old", options.old), ("new", options.new)):
            tree = Path(folder, name, "tree")
            git("worktree", "add", "--quiet", "--detach", str(tree), commit)
            out = Path(folder, name, "out")
            out.mkdir()
            checkouts.append(Checkout(tree, out, options.inputs.resolve(), options.model))
        try:
            return max(compare(name, *checkouts) for name in names)
        finally:
            for checkout in checkouts:
                git("worktree", "remove", "--force", str(checkout.tree))


def git(*arguments: str) -> None:
    subprocess.run(["git", "-C", str(REPOSITORY), *arguments], check=True)


def compare(name: str, old: Checkout, new: Checkout) -> int:
    """Print in what the two differ; the exit status."""
    before, after = (
        masked(COMPARISONS[name](checkout), checkout.out.parent) for checkout in (old, new)
    )
    if before == after:
        print(f"{name}: the same ({len(before)} characters)", flush=True)
        return 0
    lines = differences(before.splitlines(), after.splitlines())
    print(f"{name}: differs in {len(lines)} lines", *lines[:LINES], sep="\n  ", flush=True)
    failures = [re.findall(r"^exit status (\d+)$", text, re.MULTILINE) for text in (before, after)]
    return 1 if failures[0] == failures[1] else 2


def differences(old: list[str], new: list[str]) -> list[str]:
    """Lines of one side alone; of a pair, what surrounds its first difference."""
    result = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for _, old_start, old_end, new_start, new_end in matcher.get_opcodes():
        pairs = zip_longest(old[old_start:old_end], new[new_start:new_end], fillvalue="")
        for before, after in pairs:
            if before != after:
                same = takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))
                start = max(0, sum(1 for _ in same) - CONTEXT)
                result += [f"{start}- {before[start:][: 2 * CONTEXT]}"] * bool(before)
                result += [f"{start}+ {after[start:][: 2 * CONTEXT]}"] * bool(after)
    return result


def masked(text: str, folder: Path) -> str:
    """Without what differs from run to run: measured seconds and the commit's own folder."""
    return SECONDS.sub(r"\g<1>…", text.replace(str(folder), "FOLDER"))


def detect(checkout: Checkout) -> str:
    folders = [str(checkout.inputs / label) for label in ("real", "full_synthetic", "tampered")]
    masks, overlays = checkout.out / "masks", checkout.out / "overlays"
    result = checkout.sida(
        "detect", *folders, "--model", checkout.model, "--json", "-", "--explain", "--provenance",
        "--masks", str(masks), "--overlays", str(overlays),
    )  # fmt: skip
    return printed(result) + digests(masks) + digests(overlays)


def inspect(checkout: Checkout) -> str:
    pictures = sorted(map(str, checkout.inputs.rglob("*.jpg")))
    return printed(checkout.sida("inspect", *pictures, "--json", "-"))


def evaluate(checkout: Checkout) -> str:
    out = checkout.out / "evaluation"
    result = checkout.sida(
        "evaluate", str(checkout.inputs), "--model", checkout.model, "--out", str(out)
    )
    return printed(result, with_output=False) + contents(out, "*.json", "*.jsonl", "*.csv")


def check(checkout: Checkout) -> str:
    return printed(checkout.sida("data", "check", str(checkout.inputs), "--json", "-"))


def export(checkout: Checkout) -> str:
    text = ""
    for form in ("folder", "parquet", "manifest"):
        out = checkout.out / form
        result = checkout.sida(
            "data", "export", str(checkout.inputs), "--to", form, "--out", str(out)
        )
        text += printed(result, with_output=False) + digests(out)
    return text


def schema(checkout: Checkout) -> str:
    with service(checkout) as address, urllib.request.urlopen(f"{address}/openapi.json") as answer:
        return json.dumps(without_prose(json.load(answer)), indent=1)


def without_prose(node: Any) -> Any:
    """A schema without its sentences for people, which may be written better."""
    if isinstance(node, dict):
        prose = ("description", "summary")
        return {
            key: without_prose(value)
            for key, value in node.items()
            if not (key in prose and isinstance(value, str))
        }
    return [without_prose(value) for value in node] if isinstance(node, list) else node


def options(checkout: Checkout) -> str:
    lines = []
    for verb in VERBS:
        result = checkout.sida(*verb.split(), "--help")
        lines += [f"exit status {result.returncode}", f"{verb}: {OPTION.findall(result.stdout)}"]
    return "\n".join(lines)


COMPARISONS: dict[str, Callable[[Checkout], str]] = {
    "options": options,
    "inspect": inspect,
    "check": check,
    "export": export,
    "schema": schema,
    "detect": detect,
    "evaluate": evaluate,
}


def printed(result: subprocess.CompletedProcess[str], with_output: bool = True) -> str:
    """Exit status and standard output; standard error alone if nothing came of it."""
    lines = [f"exit status {result.returncode}"]
    if with_output:
        lines.append(result.stdout)
    if result.returncode not in (0, 1):
        lines.append(result.stderr)
    return "\n".join(lines) + "\n"


def digests(folder: Path) -> str:
    """Names and SHA-256 of all files below a folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return "".join(
        f"{file.relative_to(folder)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n"
        for file in files
    )


def contents(folder: Path, *patterns: str) -> str:
    """Names of all files below a folder, and the text of those that match a pattern."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    text = "".join(f"{file.relative_to(folder)}\n" for file in files)
    for file in files:
        if any(file.match(pattern) for pattern in patterns):
            text += f"{file.relative_to(folder)}:\n{file.read_text(encoding='utf-8')}\n"
    return text


@contextmanager
def service(checkout: Checkout) -> Iterator[str]:
    """Address of a service of this commit, running while the block runs."""
    port = "8765"
    process = subprocess.Popen(
        [sys.executable, "-m", "sida", "serve", "--model", checkout.model, "--port", port],
        cwd=checkout.out,
        env=checkout.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 600
        while process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{address}/openapi.json").close()
                break
            except urllib.error.URLError:
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.communicate()


if __name__ == "__main__":
    sys.exit(main())
