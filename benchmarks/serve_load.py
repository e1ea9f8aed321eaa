"""`sida serve` under load, beside `detect_many` on the same pictures in the same run.

python benchmarks/serve_load.py [--clients 64] [--requests 2000] [--overload 20] [--size 320x240]
    [--replicas N]

Starts a server on loopback, with --replicas one of --engine ray, whose memory and processor's time
are then those of its first process alone. Clients post pictures one after another; each answer's
sha256 must be its upload's. `detect_many` judges as many of the same pictures, half before and half
after. Then four times as many clients as there are places post for some seconds: only 200 and 429
may come. Exits with 1 where one of these does not hold.
"""

import argparse
import asyncio
import hashlib
import io
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx2 as httpx
import numpy as np
from PIL import Image

from sida import Detector
from sida.inference.malloc import keep_freed


def pictures(count: int, size: tuple[int, int]) -> list[bytes]:
    """Different JPEGs of coarse colours and noise."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(size)
        noise = Image.effect_noise(size, 20).convert("RGB")
        stream = io.BytesIO()
        Image.blend(coarse, noise, 0.3).save(stream, "JPEG", quality=88)
        files.append(stream.getvalue())
    return files


class Server:
    """A process of `sida serve`."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "sida", "serve", "--port", "0", *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        answer = ""
        for line in self.process.stderr:
            answer += line
            if payload := re.search(r"http://\S+:\d+", line):
                break
        else:
            sys.exit(answer)
        self.address = payload[0]

    def resident(self) -> float:
        """Megabytes of the process that are in memory now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        payload = re.search(r"VmRSS:\s+(\d+)", status)
        return int(payload[1]) / 1000 if payload else 0

    def processor(self) -> float:
        """Seconds of the processor that the process has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> int:
        """Send SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


async def load(server: Server, files: list[bytes], clients: int, requests: int) -> list[float]:
    """Post as many requests; the seconds that each took. Prints memory after each tenth."""
    seconds: list[float] = []
    numbers = iter(range(requests))
    memory: list[float] = []

    async def client(http: httpx.AsyncClient) -> None:
        for number in numbers:
            data = files[number % len(files)]
            start = time.perf_counter()
            answer = await http.post("/v1/detect", files={"file": data})
            seconds.append(time.perf_counter() - start)
            answer.raise_for_status()
            if answer.json()["sha256"] != hashlib.sha256(data).hexdigest():
                sys.exit("an answer belongs to another upload")
            if len(seconds) % max(1, requests // 10) == 0:
                memory.append(server.resident())

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=server.address, timeout=300, limits=limits) as http:
        await asyncio.gather(*(client(http) for _ in range(clients)))
    print("resident memory, MB: " + ", ".join(f"{figure:.0f}" for figure in memory))
    return seconds


async def overload(server: Server, files: list[bytes], clients: int, seconds: float) -> None:
    """Post from more clients than there are places; then see how soon one is served again."""
    until = time.perf_counter() + seconds
    statuses: Counter[int] = Counter()
    accepted: list[float] = []

    async def client(http: httpx.AsyncClient, number: int) -> None:
        while (start := time.perf_counter()) < until:
            data = files[number % len(files)]
            answer = await http.post("/v1/detect", files={"file": data})
            statuses[answer.status_code] += 1
            if answer.status_code == 200:
                accepted.append(time.perf_counter() - start)
                if answer.json()["sha256"] != hashlib.sha256(data).hexdigest():
                    sys.exit("an answer belongs to another upload")
            else:
                assert "retry-after" in answer.headers
                await asyncio.sleep(0.5)

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=server.address, timeout=300, limits=limits) as http:
        await asyncio.gather(*(client(http, number) for number in range(clients)))
        start = time.perf_counter()
        answer = await http.post("/v1/detect", files={"file": files[0]})
        after = time.perf_counter() - start
    print(
        f"{clients} clients for {seconds:.0f} s: "
        + ", ".join(f"{statuses[s]} x {s}" for s in sorted(statuses))
    )
    print(f"accepted: {spread(accepted)}")
    print(f"a single picture afterwards: {answer.status_code} in {after:.2f} s")
    if set(statuses) - {200, 429} or answer.status_code != 200:
        sys.exit("something else than 200 and 429 was answered")


def spread(seconds: list[float]) -> str:
    """Median, 99th percentile and maximum."""
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return f"median {statistics.median(ordered):.2f} s, p99 {p99:.2f} s, most {ordered[-1]:.2f} s"


def many(detector: Detector, files: list[bytes], count: int) -> np.ndarray:
    """Seconds that `detect_many` takes for so many: on the clock, and of the processor."""
    start = np.array([time.perf_counter(), time.process_time()])
    results = sum(1 for _ in detector.detect_many(files[i % len(files)] for i in range(count)))
    assert results == count
    return np.array([time.perf_counter(), time.process_time()]) - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--overload", type=float, default=20, metavar="SECONDS")
    parser.add_argument("--places", type=int, default=64)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--replicas", type=int)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    files = pictures(options.pictures, (width, height))
    keep_freed()
    detector = Detector.load("tiny")
    many(detector, files, 8)
    half = options.requests // 2
    direct = many(detector, files, half)
    engine = () if options.replicas is None else ("--engine", "ray", "--replicas", options.replicas)
    server = Server("--places", str(options.places), *map(str, engine))
    try:
        asyncio.run(load(server, files, 1, 8))
        start, before = time.perf_counter(), server.processor()
        seconds = asyncio.run(load(server, files, options.clients, options.requests))
        rate = options.requests / (time.perf_counter() - start)
        processor = (server.processor() - before) / options.requests
        asyncio.run(overload(server, files, 4 * options.places, options.overload))
    finally:
        status = server.end()
    direct += many(detector, files, half)
    alone, figure = 2 * half / direct[0], direct[1] / (2 * half)
    print(
        f"{options.requests} requests of {options.clients} clients, {options.size}: {rate:.1f} a "
        f"second, {spread(seconds)}\ndetect_many: {alone:.1f} a second; the service has "
        f"{100 * rate / alone:.0f} % of it\nof the processor: {1000 * processor:.1f} ms a request, "
        f"{1000 * figure:.1f} ms a picture of detect_many\nexit status {status}"
    )
    if status:
        sys.exit("the server did not end well")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
