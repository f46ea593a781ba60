"""What stands before a study's pages: who may ask, how often and how much, and what every answer's headers say."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 4096
"""Bytes; an answer has about a hundred."""

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), interest-cohort=()",
    "x-robots-tag": "noindex, nofollow",
    "cache-control": "no-store",
}


@dataclass
class Buckets:
    """How often each of many may ask: `rate` times a second, and `burst` at once.

    Attributes:
        rate: A second.
        burst: At once.
        clock: Seconds.
        most: How many are remembered; the one that was away longest is forgotten.

    Example:
        >>> now = [0.0]
        >>> buckets = Buckets(rate=1, burst=2, clock=lambda: now[0])
        >>> [buckets.take("a") for _ in range(3)], buckets.take("b")
        ([True, True, False], True)
        >>> now[0] = 1.0
        >>> buckets.take("a")
        True
    """

    rate: float
    burst: float
    clock: Callable[[], float] = time.monotonic
    most: int = 10_000
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict, repr=False)

    def take(self, name: str) -> bool:
        """Return whether someone may ask now."""
        now = self.clock()
        left, since = self._left.pop(name, (self.burst, now))
        left = min(self.burst, left + (now - since) * self.rate)
        is_allowed = left >= 1
        self._left[name] = (left - is_allowed, now)
        if len(self._left) > self.most:
            self._left.popitem(last=False)
        return is_allowed


class StudyGuard:
    """Refuses what no page of ours asks, and puts the headers on every answer.

    No address is looked at: the limits are of a rater's token, and of all who come without one together.

    Args:
        app: What stands behind.
        names: Host names that this server goes by, besides the loopback's.
        per_rater: How often a rater may ask.
        joining: How often the pages without a token may be asked for, by all together.
    """

    def __init__(
        self,
        app: ASGIApp,
        names: Collection[str] = (),
        per_rater: Buckets | None = None,
        joining: Buckets | None = None,
    ) -> None:
        self._app = app
        self._names = {*LOOPBACK, *(name.lower() for name in names)}
        self._per_rater = per_rater or Buckets(rate=10, burst=60)
        self._joining = joining or Buckets(rate=50, burst=400)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            status, why = refusal
            extra = {"retry-after": "2"} if status == 429 else {}
            await JSONResponse({"error": why}, status, extra)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return why a request is not answered, None where it is."""
        headers = Headers(scope=scope)
        if _host(headers.get("host", "")) not in self._names:
            return 421, "This server does not go by that name."
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "This cannot be done here."
        if scope["method"] == "POST":
            refused = self._refused_post(headers)
            if refused is not None:
                return refused
        return self._too_often(scope["path"])

    def _refused_post(self, headers: Headers) -> tuple[int, str] | None:
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "same-origin")
        if origin is not None and not self._is_own(origin, headers.get("host", "")):
            return 403, "Another page may not answer for you."
        if site not in ("same-origin", "none"):
            return 403, "Another page may not answer for you."
        if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            return 415, "Answers are sent as JSON."
        length = headers.get("content-length", "")
        if not length.isdecimal():
            return 411, "Say how long the answer is."
        return (413, "This is longer than an answer.") if int(length) > LARGEST_BODY else None

    def _is_own(self, origin: str, host: str) -> bool:
        """Return whether a page of this server asks: of the same name, and of the same port where there is no proxy."""
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https"):
            return False
        return parts.netloc.lower() == host.lower() or (
            parts.scheme == "https" and _host(parts.netloc) in self._names - set(LOOPBACK)
        )

    def _too_often(self, path: str) -> tuple[int, str] | None:
        parts = path.split("/")
        if len(parts) > 2 and parts[1] == "r":
            is_allowed = self._per_rater.take(parts[2][:64])
        else:
            is_allowed = parts[1:2] in (["assets"], ["pictures"]) or self._joining.take("")
        return None if is_allowed else (429, "That is too often: wait a moment.")


def _host(text: str) -> str:
    """Return a host's name without the port.

    Example:
        >>> _host("Localhost:8000"), _host("[::1]:80")
        ('localhost', '[::1]')
    """
    text = text.lower()
    if text.startswith("["):
        return text[: text.find("]") + 1]
    return text.split(":")[0]
