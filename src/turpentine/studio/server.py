"""The studio's server: gradio's, without its page, on the loopback alone, with no request to any other machine."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from turpentine.core.errors import BadArgument
from turpentine.studio import requests
from turpentine.studio.guard import Guard
from turpentine.studio.panels import page
from turpentine.studio.session import Session

HOST = "127.0.0.1"
PORT = 7860
QUIET: Mapping[str, str] = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_SERVER_MODE_ENABLED": "1",
}
"""Set while gradio is imported and serves, which asks other machines otherwise."""


@dataclass(frozen=True)
class Serving:
    """A server that runs.

    Attributes:
        link: To the page, with the token, which is good for this start alone.
        port: Where it listens.
    """

    link: str
    port: int


def check_installed() -> None:
    """Check that gradio is here, without importing it.

    Raises:
        BadArgument: It is not.
    """
    from importlib.util import find_spec

    if find_spec("gradio") is None:
        raise BadArgument("The studio needs gradio: install it by pip install 'turpentine[studio]'.")


def free_port(port: int) -> int:
    """Return a port of the loopback where nobody listens: the given one, or any for 0.

    Raises:
        BadArgument: The port is taken, or none may listen there.
    """
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OverflowError as error:
            raise BadArgument(f"There is no port {port}: give one up to 65535 with --port, or 0 for any.") from error
        except OSError as error:
            raise BadArgument(f"The port {port} is taken: give another one with --port, or 0 for any.") from error
        return int(trial.getsockname()[1])


@contextmanager
def serving(session: Session, port: int = PORT) -> Iterator[Serving]:
    """Serve a session's page inside a `with` block.

    Args:
        session: Of the studio.
        port: Of the loopback; 0 for any that is free.

    Raises:
        BadArgument: gradio is not installed, or the port is taken.
    """
    check_installed()
    port, token = free_port(port), secrets.token_urlsafe(24)
    own = {**QUIET, "GRADIO_TEMP_DIR": str(session.folder / "gradio"), "NO_PROXY": f"{HOST},localhost"}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    app = _app(session, token, port)
    try:
        app.launch(
            server_name=HOST,
            server_port=port,
            share=False,
            inbrowser=False,
            quiet=True,
            prevent_thread_lock=True,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            enable_monitoring=False,
            run_history=False,
            _frontend=False,
        )
        yield Serving(f"http://{HOST}:{port}/?token={token}", port)
    finally:
        blocks = getattr(app, "blocks", None)
        if blocks is not None:
            blocks.close(verbose=False)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def _app(session: Session, token: str, port: int) -> Any:
    """Return gradio's server with the page and its three calls."""
    from fastapi.responses import HTMLResponse
    from gradio import Server

    app = Server(title="Turpentine studio", docs_url=None, redoc_url=None, openapi_url=None)

    def answering(do: Callable[[Session, Mapping[str, Any]], dict[str, Any]]) -> Callable[[dict], dict]:  # type: ignore[type-arg]
        def answer(request: dict) -> dict:  # type: ignore[type-arg]
            return do(session, request)

        return answer

    # A second window may look, and stop what the first one began, while that draws.
    app.api(answering(requests.act), name="act", concurrency_limit=1)
    app.api(answering(requests.look), name="look", concurrency_limit=None)
    app.api(answering(requests.stop), name="stop", concurrency_limit=None)
    app.get("/", response_class=HTMLResponse)(lambda: page(session))
    app.add_middleware(Guard, token=token, port=port)
    return app
