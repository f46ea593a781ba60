"""Who may ask the studio's server."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from turpentine.studio.guard import CALLS, STARTED, Guard

COOKIE = {"cookie": "other=1; turpentine-studio-7860=secret"}
HOST = {"host": "127.0.0.1:7860"}


@pytest.mark.parametrize(
    ("path", "query", "headers", "status"),
    [
        ("/", "token=secret", HOST, 303),
        ("/", "", HOST | COOKIE, 200),
        ("/", "", {"host": "localhost:7860"} | COOKIE, 200),
        (f"{CALLS}act", "", HOST | COOKIE | {"origin": "http://127.0.0.1:7860"}, 200),
        (STARTED, "", HOST, 200),
        ("/favicon.ico", "", HOST, 204),
        ("/", "", HOST, 403),
        ("/", "token=", HOST, 403),
        ("/", "token=secre", HOST, 403),
        ("/", "token=s%C3%A9cret", HOST, 403),
        ("/", "", {"host": "evil.example:7860"} | COOKIE, 403),
        ("/", "token=secret", {"host": "127.0.0.1:7861"}, 403),
        ("/", "", COOKIE, 403),
        ("/", "", HOST | {"cookie": "turpentine-studio-7861=secret"}, 403),
        ("/", "", HOST | {"cookie": 'turpentine-studio-7860="'}, 403),
        (f"{CALLS}act", "token=secret", HOST, 403),
        (f"{CALLS}act", "", HOST | COOKIE | {"origin": "http://evil.example"}, 403),
        (f"{CALLS}act", "", HOST | COOKIE | {"origin": "null"}, 403),
        ("/gradio_api/upload", "", HOST | COOKIE, 404),
        ("/gradio_api/file=/etc/passwd", "", HOST | COOKIE, 404),
        ("/gradio_api/proxy=http://evil.example", "", HOST | COOKIE, 404),
        ("/config", "", HOST | COOKIE, 404),
    ],
)
def test_what_is_let_through(path: str, query: str, headers: dict[str, str], status: int) -> None:
    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})

    assert Guard(behind, token="secret", port=7860).decide(path, query, headers)[0] == status
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "query_string": query.encode(), "headers": raw}
    asyncio.run(Guard(behind, token="secret", port=7860)(scope, None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == status and (sent[1]["body"] == b"page") == (status == 200)
    names = dict(sent[0]["headers"])
    assert names[b"x-frame-options"] == b"DENY" and names[b"cache-control"] == b"no-store"
    if status == 303:
        assert names[b"location"] == b"/" and b"HttpOnly; SameSite=Strict" in names[b"set-cookie"]


def test_a_websocket_is_not_let_through() -> None:
    async def behind(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError(scope)

    asyncio.run(Guard(behind, token="secret", port=7860)({"type": "websocket"}, None, None))  # type: ignore[arg-type]
