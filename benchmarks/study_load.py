"""Many raters at once, by real HTTP: how long an answer takes, and whether each that was acknowledged is stored once.

    python benchmarks/study_load.py                              # 200 raters, SQLite
    python benchmarks/study_load.py --db postgresql://USER@HOST/NAME
    python benchmarks/study_load.py --kills 20 --seconds 120     # and the server is killed at 20 random moments

The server is `turpentine study serve` in a process of its own. Each rater joins, fetches the page, its style, its
script and each picture, thinks for about `--think` seconds, and answers. A request without an answer is sent again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from turpentine.study.store import StudyStore
from turpentine.study.study import Study, read_study

PLAN = """
title: How likely is it a true work?
consent: You will see some pictures.
items: [{folder: pictures}]
examples: {folder: examples}
questions:
  - {name: likeness, kind: rating, text: "How likely is this a true work by {subject}?", examples: 3}
ratings: 60
items_per_rater: 40
practice: 2
attention: 3
repeats: 0.1
"""


class Gone(Exception):
    """The server did not answer."""


@dataclass
class Load:
    """What was measured.

    Attributes:
        times: Seconds of each kind of request.
        refused: How often the server was away or said to wait.
        acknowledged: By token, each trial's value.
        is_over: Is the time over, and are all kills done?
    """

    times: dict[str, list[float]] = field(default_factory=dict)
    refused: int = 0
    acknowledged: dict[str, dict[int, str]] = field(default_factory=dict)
    is_over: bool = False


class Client:
    """One connection that is kept open, as a browser's is."""

    def __init__(self, port: int, load: Load) -> None:
        self._port, self._load = port, load
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, kind: str, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Send a request, and return the status and the content."""
        began = time.perf_counter()
        try:
            status, content = await asyncio.wait_for(self._exchange(method, path, body), 30)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError) as error:
            self.close()
            self._load.refused += 1
            raise Gone from error
        self._load.times.setdefault(kind, []).append(time.perf_counter() - began)
        return status, content

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        writer.write(head.encode() + b"\r\n" + content)
        await writer.drain()
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        return int(lines[0].split()[1]), await reader.readexactly(int(headers.get("content-length", 0)))


async def again(client: Client, kind: str, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    """Send until there is an answer, as the page does."""
    while True:
        try:
            status, content = await client.send(kind, method, path, body)
            if status not in (429, 503):
                return status, content
            client._load.refused += 1
        except Gone:
            pass
        await asyncio.sleep(random.uniform(0.2, 0.6))


async def rater(port: int, entry: str, load: Load, think: float, delay: float) -> None:
    """Take part from consent to thanks, or until the time is over."""
    await asyncio.sleep(delay)
    client = Client(port, load)
    await again(client, "page", "GET", f"/s/{entry}")
    status, content = await again(client, "join", "POST", f"/s/{entry}/join", {})
    assert status == 200, content
    link = json.loads(content)["link"]
    mine = load.acknowledged.setdefault(link.split("/")[-1], {})
    for path in (link, "/assets/page.css", "/assets/study.css", "/assets/study.js"):
        await again(client, "page", "GET", path)
    _, content = await again(client, "next", "GET", f"{link}/next")
    state, seen = json.loads(content), set()
    while state["state"] == "active" and not load.is_over:
        trial = state["trial"]
        urls = [each["url"] for each in (*trial["pictures"], *trial["examples"])]
        for url in [*urls, *state["ahead"]]:
            if url not in seen:
                seen.add(url)
                await again(client, "picture", "GET", url)
        await asyncio.sleep(random.expovariate(1 / think))
        body = {"trial": trial["number"], "value": random.choice("12345"), "ms": 900}
        status, content = await again(client, "answer", "POST", f"{link}/answers", body)
        assert status == 200, content
        state = json.loads(content)
        mine[trial["number"]] = state["stored"]
    client.close()


def make_study(folder: Path) -> Study:
    """Write a study of 200 pictures of 256 px, by five conditions of four subjects."""
    rng = np.random.default_rng(0)
    for subject in ("ada", "ben", "cleo", "dan"):
        for condition, count in (("../examples", 3), *((name, 10) for name in ("a", "b", "c", "real", "similar"))):
            place = folder / "pictures" / condition / subject
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                small = Image.fromarray(rng.integers(256, size=(8, 8, 3), dtype=np.uint8))
                small.resize((256, 256), Image.Resampling.BICUBIC).save(place / f"{number}.png")
    (folder / "study.yaml").write_text(PLAN)
    return read_study(str(folder / "study.yaml"))


def start(folder: Path, db: str, port: int) -> subprocess.Popen[bytes]:
    """Start the server."""
    line = [sys.executable, "-m", "turpentine", "study", "serve", str(folder / "study.yaml")]
    return subprocess.Popen([*line, "--db", db, "--port", str(port)], stdout=subprocess.DEVNULL)


async def is_up(port: int) -> None:
    """Wait until the server takes connections."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


async def run(options: argparse.Namespace, folder: Path, db: str, entry: str) -> Load:
    """Run the server and the raters, with kills where there are to be some."""
    load, server = Load(), start(folder, db, options.port)
    await is_up(options.port)
    until = time.time() + options.seconds
    raters = [
        rater(options.port, entry, load, options.think, random.uniform(0, options.arrive))
        for _ in range(options.raters)
    ]
    work = asyncio.gather(*raters)
    for _ in range(options.kills):
        await asyncio.sleep(random.uniform(0.5, options.seconds / options.kills))
        server.kill()
        server.wait()
        server = start(folder, db, options.port)
        await is_up(options.port)
    while time.time() < until and not work.done():
        await asyncio.sleep(0.1)
    load.is_over = True
    await work
    server.send_signal(signal.SIGINT)
    server.wait()
    return load


def summary(load: Load, store: StudyStore) -> dict[str, object]:
    """Hold what was acknowledged against what is stored, and return all numbers."""
    lost = wrong = 0
    for token, mine in load.acknowledged.items():
        stored = store.answered(store.rater(token))
        lost += len(set(mine) - set(stored))
        wrong += sum(stored.get(trial, value) != value for trial, value in mine.items())
    _, answers = store.everything()
    kinds = {
        kind: {
            "count": len(times),
            **{f"p{p}_ms": round(1000 * float(np.percentile(times, p)), 1) for p in (50, 95, 99)},
        }
        for kind, times in sorted(load.times.items())
    }
    return {
        "raters": len(load.acknowledged),
        "acknowledged": sum(map(len, load.acknowledged.values())),
        "stored": len(answers),
        "stored twice": len(answers) - len({(each.rater, each.trial) for each in answers}),
        "lost": lost,
        "changed": wrong,
        "sent again": load.refused,
        **kinds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raters", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=3)
    parser.add_argument("--arrive", type=float, default=10, help="seconds in which all raters come")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--db", help="a file or postgresql://USER@HOST/NAME; a temporary file by default")
    parser.add_argument("--port", type=int, default=8123)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = make_study(folder)
        db = options.db or str(folder / "answers.sqlite")
        store = StudyStore(db, study, create=True)
        load = asyncio.run(run(options, folder, db, store.entry))
        print(json.dumps(summary(load, store), indent=2))


if __name__ == "__main__":
    main()
