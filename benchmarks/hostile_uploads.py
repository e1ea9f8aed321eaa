"""Malformed uploads one after another: each must be 4xx with a sentence, and memory stay flat.

python benchmarks/hostile_uploads.py [--count 1000] [--clients 4]

Starts a server on loopback with the embedded model. The uploads are those of
tests/serve/hostile.py. Exits with 1 where one is answered otherwise.
"""

import argparse
import asyncio
import sys
from collections import Counter
from pathlib import Path

import httpx2 as httpx
from serve_load import Server

sys.path.append(str(Path(__file__).parents[1]))

from tests.pictures import file_bytes
from tests.serve.hostile import hostile


async def attack(server: Server, count: int, clients: int) -> None:
    """Send all; print what was answered and the memory after each tenth."""
    uploads = iter(hostile(count))
    answers: Counter[tuple[str, int]] = Counter()
    memory: list[float] = []

    async def client(http: httpx.AsyncClient) -> None:
        for upload in uploads:
            answer = await http.post(
                "/v1/detect", content=upload.body, headers={"content-type": upload.content_type}
            )
            if not 400 <= answer.status_code < 500 or len(answer.json()["message"]) < 10:
                sys.exit(f"{upload.kind}: {answer.status_code} {answer.text[:200]}")
            answers[upload.kind, answer.status_code] += 1
            if sum(answers.values()) % max(1, count // 10) == 0:
                memory.append(server.resident())

    async with httpx.AsyncClient(base_url=server.address, timeout=120) as http:
        await asyncio.gather(*(client(http) for _ in range(clients)))
        good = await http.post("/v1/detect", files={"file": file_bytes("jpeg")})
    for (attack, status), number in sorted(answers.items()):
        print(f"{attack:25}{status}{number:6}")
    print("resident memory, MB: " + ", ".join(f"{upload:.0f}" for upload in memory))
    print(f"a picture afterwards: {good.status_code}")


def main() -> None:
    """Attack and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    server = Server()
    try:
        asyncio.run(attack(server, options.count, options.clients))
    finally:
        status = server.end()
    print(f"exit status {status}")


if __name__ == "__main__":
    main()
