"""The server is killed in the middle of its work: what it acknowledged is there, and stands there once."""

from __future__ import annotations

import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import numpy as np
from processes import Started, command_line
from study.studies import free_port, small_study

from turpentine.study.store import StudyStore

KILLS = 2
RATERS = 3


class Visitor(threading.Thread):
    """A rater who answers as fast as the server does, and notes what was acknowledged."""

    def __init__(self, address: str, entry: str, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self._address, self._entry, self._ended = address, entry, ended
        self.acknowledged: dict[int, str] = {}
        self.token = ""

    def run(self) -> None:
        rng = np.random.default_rng(id(self) % 1000)
        with httpx.Client(base_url=self._address, timeout=20) as client:
            place = 0
            while not self._ended.is_set():
                try:
                    if not self.token:
                        reply = client.post(f"/s/{self._entry}/join", json={})
                        if reply.status_code != 200:
                            continue
                        self.token = reply.json()["link"].split("/")[-1]
                    value = str(rng.integers(4, 6))  # sent again with another value: the first one stands
                    reply = client.post(f"/r/{self.token}/answers", json={"trial": place, "value": value, "ms": 5})
                except httpx.HTTPError:
                    time.sleep(0.05)
                    continue
                if reply.status_code == 429:
                    time.sleep(0.2)
                elif reply.status_code == 200:
                    self.acknowledged[place] = reply.json()["stored"]
                    place += 1
                    if reply.json()["state"] != "active":
                        return


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server does not start")


def test_a_killed_server_loses_no_answer_that_it_acknowledged(tmp_path: Path) -> None:
    changes = ("ratings=9", "items_per_rater=8", "repeats=1", "attention=4", "practice=10")
    study = small_study(tmp_path, changes)
    port, path = free_port(), tmp_path / "answers.sqlite"
    line = ["study", "serve", str(tmp_path / "study.yaml"), "--db", str(path), "--port", str(port)]
    line += [word for change in changes for word in ("--set", change)]
    store = StudyStore(str(path), study, create=True)
    ended = threading.Event()
    visitors = [Visitor(f"http://127.0.0.1:{port}", store.entry, ended) for _ in range(RATERS)]
    server = Started(tmp_path, command_line, tmp_path, line)
    wait_for(port)
    for visitor in visitors:
        visitor.start()
    rng = np.random.default_rng(0)
    for _ in range(KILLS):
        time.sleep(float(rng.uniform(0.2, 0.6)))
        server.send_signal(signal.SIGKILL)
        server.communicate()
        server = Started(tmp_path, command_line, tmp_path, line)
        wait_for(port)
    for visitor in visitors:
        visitor.join(60)
    ended.set()
    server.send_signal(signal.SIGTERM)
    out, err = server.communicate()
    assert "Stopped. All answers that were given are stored." in out, err
    assert server.poll() == 128 + signal.SIGTERM and "Interrupted. The same command goes on from here" in err
    for visitor in visitors:
        assert len(visitor.acknowledged) == len(study.trials(0)), "it went on to the end"
        assert store.answered(store.rater(visitor.token)) == visitor.acknowledged
