"""`sida serve` as a process of its own, with a detector that goes on when it gets SIGUSR1."""

import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx

from tests.serve.conftest import picture, sha256, waits

ROOT = Path(__file__).parents[2]
CODE = """
import signal, sys, types
sys.path.insert(0, {root!r})
from tests.serve.held import Held
held = Held(held=True)
held.from_options = lambda _: held
signal.signal(signal.SIGUSR1, lambda *_: held.turns.release(1000))
module = types.ModuleType("sida.detector")
module.Detector = held
sys.modules["sida.detector"] = module
from sida.cli import main
main()
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_what_was_accepted_is_answered_after_sigterm_and_the_status_is_0() -> None:
    command = [sys.executable, "-c", CODE.format(root=str(ROOT)), "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            match = re.search(r"Serving held at (http://127\.0\.0\.1:(\d+));", line)
            assert match, line + process.stderr.read()

            def post(seed: int) -> httpx.Response:
                files = {"file": picture(seed)}
                return httpx.post(f"{match[1]}/v1/detect", files=files, timeout=120)

            def taken() -> bool:
                return "sida_places_taken 5.0" in httpx.get(f"{match[1]}/metrics", timeout=60).text

            with ThreadPoolExecutor(5) as pool:
                futures = [pool.submit(post, seed) for seed in range(5)]
                waits(taken)
                process.send_signal(signal.SIGTERM)
                waits(lambda: not listens(int(match[2])))
                os.kill(process.pid, signal.SIGUSR1)
                answers = [item.result() for item in futures]
            assert [item.status_code for item in answers] == 5 * [200]
            shas = [item.json()["sha256"] for item in answers]
            assert shas == [sha256(picture(seed)) for seed in range(5)]
            assert process.wait(60) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()
