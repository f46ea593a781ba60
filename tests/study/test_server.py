"""The server over real HTTP: who is let in, what the headers say, and that nothing tells what drew a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from study.studies import Cluster, served, small_study

from turpentine.study.guard import Buckets, StudyGuard
from turpentine.study.server import create_app
from turpentine.study.store import StudyStore


@pytest.fixture
def store(tmp_path: Path) -> StudyStore:
    return StudyStore(str(tmp_path / "answers.sqlite"), small_study(tmp_path), create=True)


@pytest.fixture
def client(store: StudyStore) -> Iterator[httpx.Client]:
    with served(create_app(store, ["study.example.org"])) as address, httpx.Client(base_url=address) as http:
        yield http


def joined(client: httpx.Client, store: StudyStore) -> str:
    reply = client.post(f"/s/{store.entry}/join", json={})
    assert reply.status_code == 200
    return str(reply.json()["link"])


def test_a_session_from_consent_to_the_end(client: httpx.Client, store: StudyStore) -> None:
    page = client.get(f"/s/{store.entry}")
    assert page.status_code == 200 and "You can stop at any time." in page.text and "study@example.org" in page.text
    link = joined(client, store)
    assert client.get(link).status_code == 200
    state = client.get(f"{link}/next").json()
    first = state["trial"]
    texts = []
    while state["state"] == "active":
        texts.append(json.dumps(state))
        trial = store.study.trials(0)[state["trial"]["number"]]
        value = trial.right_answers[0] if trial.right_answers else "3"
        state = client.post(
            f"{link}/answers", json={"trial": state["trial"]["number"], "value": value, "ms": 800}
        ).json()
        assert state["stored"] == value
        assert ("explanation" in state) == (trial.phase == "practice")
    assert state["state"] == "done"
    assert len(texts) == len(store.study.trials(0))
    whole = "".join(texts)
    for word in ("erased", "real", "attention", "repeat", "condition", "qualification", str(store.study.hash[:12])):
        assert word not in whole, f"{word} tells something"
    assert [each["url"] for each in first["examples"]] == [
        f"/pictures/{store.study.name_of(still)}" for still in store.study.examples[store.study.trials(0)[0].subject]
    ]
    assert first["examples_title"] == f"Examples of {store.study.trials(0)[0].subject}"
    again = client.post(f"{link}/answers", json={"trial": 4, "value": "1", "ms": 1}).json()
    assert again["stored"] == "3"
    assert client.post(f"{link}/delete", json={}).json() == {"state": "deleted", "answers": len(texts)}
    assert client.get(link).status_code == 404


def test_headers_let_nothing_in_and_nothing_out(client: httpx.Client, store: StudyStore) -> None:
    link = joined(client, store)
    picture = client.get(f"{link}/next").json()["trial"]["pictures"][0]["url"]
    for path in (f"/s/{store.entry}", link, f"{link}/next", picture, "/assets/study.js", "/nothing", "/r/none"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; img-src 'self'"), path
        assert "unsafe" not in headers["content-security-policy"] and "http" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store" or path.startswith(("/pictures", "/assets"))
        assert "set-cookie" not in headers
    assert client.get(picture).content.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (421, {"host": "evil.example.org"}),
        (421, {"host": ""}),
        (403, {"origin": "http://evil.example.org"}),
        (403, {"origin": "null"}),
        (403, {"origin": "https://127.0.0.1"}),
        (403, {"sec-fetch-site": "cross-site"}),
        (415, {"content-type": "text/plain"}),
        (413, {"content-length": "5000"}),
        (200, {"host": "study.example.org", "origin": "https://study.example.org"}),
    ],
)
def test_other_pages_and_hosts_are_refused(
    status: int, headers: dict[str, str], client: httpx.Client, store: StudyStore
) -> None:
    content = b"{}" + b" " * (4998 if status == 413 else 0)
    reply = client.post(
        f"/s/{store.entry}/join", content=content, headers={"content-type": "application/json", **headers}
    )
    assert reply.status_code == status
    assert len(store.everything()[0]) == (status == 200)


@pytest.mark.parametrize(
    "body",
    [
        {"trial": 0, "value": "9", "ms": 1},
        {"trial": 1, "value": "3", "ms": 1},
        {"trial": -1, "value": "3", "ms": 1},
        {"trial": 0, "value": "3"},
        {"trial": 0, "value": "3", "ms": "1"},
        {"trial": 0, "value": 3, "ms": 1},
        {"trial": 0, "value": "3", "ms": 1, "condition": "x"},
        [],
    ],
)
def test_what_is_no_answer_is_a_sentence_and_stores_nothing(body: Any, client: httpx.Client, store: StudyStore) -> None:
    reply = client.post(f"{joined(client, store)}/answers", json=body)
    assert reply.status_code == 422
    assert set(reply.json()) == {"error"} and reply.json()["error"].endswith("reload the page.")
    assert store.everything()[1] == []


def test_wrong_links_lead_nowhere(client: httpx.Client, store: StudyStore) -> None:
    assert client.get("/s/none").status_code == client.post("/s/none/join", json={}).status_code == 404
    assert client.get("/pictures/none").status_code == client.get("/assets/../server.py").status_code == 404
    assert client.put(f"/s/{store.entry}", json={}).status_code == 405


def test_too_many_requests_of_a_rater_are_refused_and_others_are_not_held_up(store: StudyStore) -> None:
    guarded = StudyGuard(create_app(store), per_rater=Buckets(rate=0, burst=4))
    with served(guarded) as address, httpx.Client(base_url=address) as http:
        link, other = joined(http, store), joined(http, store)
        replies = [http.get(f"{link}/next") for _ in range(5)]
        assert [each.status_code for each in replies] == [200, 200, 200, 200, 429]
        assert replies[-1].headers["retry-after"] == "2"
        assert http.get(other).status_code == 200


def test_limits_are_per_name_and_come_back() -> None:
    now = [0.0]
    buckets = Buckets(rate=2, burst=3, clock=lambda: now[0], most=2)
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    now[0] = 0.5
    assert [buckets.take("a"), buckets.take("a")] == [True, False]
    assert buckets.take("b") and buckets.take("c") and buckets.take("a"), "the one that was away longest is forgotten"
    assert len(buckets._left) == 2


def test_nothing_of_a_visitor_is_kept(client: httpx.Client, store: StudyStore, tmp_path: Path) -> None:
    agent = "A-very-special-browser/7"
    client.headers["user-agent"] = agent
    link = joined(client, store)
    client.post(f"{link}/answers", json={"trial": 0, "value": "3", "ms": 5})
    store.close()
    content = b"".join(path.read_bytes() for path in tmp_path.glob("answers.sqlite*"))
    assert b"likeness" in content
    assert agent.encode() not in content and b"127.0.0.1" not in content and link.split("/")[-1].encode() not in content


def test_a_database_that_is_away_is_said_and_the_answer_can_be_sent_again(cluster: Cluster, tmp_path: Path) -> None:
    store = StudyStore(cluster.emptied(), small_study(tmp_path), create=True)
    with served(create_app(store)) as address, httpx.Client(base_url=address, timeout=30) as http:
        link = joined(http, store)
        cluster.stop()
        try:
            reply = http.post(f"{link}/answers", json={"trial": 0, "value": "4", "ms": 5})
            assert reply.status_code == 503 and reply.headers["retry-after"] == "2"
            assert "not stored yet" in reply.json()["error"]
            assert http.get(link).status_code == 503
        finally:
            cluster.start()
        assert http.post(f"{link}/answers", json={"trial": 0, "value": "4", "ms": 5}).json()["stored"] == "4"
    store.close()


def test_a_guard_answers_nothing_but_http() -> None:
    import asyncio

    async def never(*_: Any) -> None:
        raise AssertionError("it was asked")

    asyncio.run(StudyGuard(never)({"type": "websocket"}, never, never))  # type: ignore[arg-type]
