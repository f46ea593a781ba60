"""Who may ask the studio's server: this machine alone, through the link that the terminal shows."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CALLS = "/gradio_api/call/"
STARTED = "/gradio_api/startup-events"
"""What gradio asks of itself when it begins, without a token; it gives nothing away."""
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """An ASGI application that lets the page and its calls through, and nothing else that a web framework brings along.

    The Host must be the loopback's, against pages elsewhere whose name somebody points at this machine; the Origin,
    where there is one, this server; and each request must have the token, in its link once and then in a cookie.

    Args:
        app: What is behind it.
        token: Of this start of the studio.
        port: Of the server.
    """

    def __init__(self, app: App, *, token: str, port: int) -> None:
        self._app, self._token, self._port = app, token, port
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        status, more = self.decide(scope["path"], scope.get("query_string", b"").decode("latin-1"), headers)
        if status != 200:
            await _answer(send, status, more)
            return

        async def secured(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await self._app(scope, receive, secured)

    def decide(self, path: str, query: str, headers: Mapping[str, str]) -> tuple[int, tuple[tuple[bytes, bytes], ...]]:
        """Return the status for a request, 200 to let it through, and headers of an answer that is given here.

        Args:
            path: That is asked for.
            query: Behind it.
            headers: Of the request, by name in small letters.
        """
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._hosts or origin not in (None, f"http://{host}"):
            return 403, ()
        if path == STARTED:
            return 200, ()
        if path == "/favicon.ico":
            return 204, ()
        given = parse_qs(query).get("token", [""])[0]
        if path == "/" and self._is_token(given):
            cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
            return 303, ((b"location", b"/"), (b"set-cookie", cookie.encode()))
        if not self._is_token(_cookie_in(headers.get("cookie", ""), self._cookie)):
            return 403, ()
        return (200 if path == "/" or path.startswith(CALLS) else 404), ()

    @property
    def _cookie(self) -> str:
        """A name of its own: browsers give the cookies of one port of a machine to all others."""
        return f"turpentine-studio-{self._port}"

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._token.encode())


_TEXTS = {
    403: "This needs the link that turpentine studio shows in the terminal.",
    404: "There is nothing here.",
}


async def _answer(send: Send, status: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    kind = (b"content-type", b"text/plain; charset=utf-8")
    await send({"type": "http.response.start", "status": status, "headers": [kind, *headers, *HEADERS]})
    await send({"type": "http.response.body", "body": _TEXTS.get(status, "").encode()})


def _cookie_in(text: str, name: str) -> str:
    try:
        morsel = SimpleCookie(text).get(name)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""
