"""A hub on this machine that speaks the few endpoints of huggingface_hub's uploads and downloads."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from huggingface_hub import constants

COMMIT = "c" * 40


class Hub(ThreadingHTTPServer):
    """What was sent to it: repositories by id, each with its files; the tokens and the requests that it saw."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.messages: list[str] = []
        self.large: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.token = "hf_right"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            whole = b""
            while size := int(self.rfile.readline(), 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return whole
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self) -> None:
        body, path = self._body(), self.path
        self.server.requests.append(f"POST {path}")
        if self.headers.get("Authorization") != f"Bearer {self.server.token}" and "validate-yaml" not in path:
            self._answer({"error": "Invalid username or password."}, 401)
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif match := re.fullmatch(r"/api/models/(.+?)/preupload/main(\?.*)?", path):
            files = [self._planned(file["path"]) for file in json.loads(body)["files"]]
            self._answer({"files": files})
        elif path.endswith(".git/info/lfs/objects/batch"):
            self._answer({"transfer": "basic", "objects": [self._large(each) for each in json.loads(body)["objects"]]})
        elif match := re.fullmatch(r"/api/models/(.+?)/commit/main(\?.*)?", path):
            self._commit(match[1], [json.loads(line) for line in body.splitlines()])
        else:
            self._answer({"error": f"no such endpoint: {path}"}, 404)

    def do_PUT(self) -> None:
        oid, body = self.path.rpartition("/")[2], self._body()
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.large[oid] = body
        self._answer(b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        match = re.fullmatch(r"/(.+?)/resolve/[^/]+/(.+)", self.path)
        content = self.server.repositories.get(match[1], {}).get(match[2]) if match else None
        if content is None:
            self._answer({"error": "not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        else:
            tag = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
            self._answer(content, headers=tag)

    def _create(self, wish: dict[str, Any]) -> None:
        name = f"{wish['organization']}/{wish['name']}" if wish.get("organization") else wish["name"]
        self.server.repositories.setdefault(name, {})
        self.server.private[name] = bool(wish.get("private")) or wish.get("visibility") == "private"
        self._answer({"url": f"{self.server.address}/{name}", "name": name})

    @staticmethod
    def _planned(path: str) -> dict[str, Any]:
        mode = "lfs" if path.endswith(".safetensors") else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False}

    def _large(self, each: dict[str, Any]) -> dict[str, Any]:
        upload = {"href": f"{self.server.address}/lfs/{each['oid']}", "header": {}}
        return {"oid": each["oid"], "size": each["size"], "actions": {"upload": upload}}

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        files = self.server.repositories[name]
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.server.messages.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
        url = f"{self.server.address}/{name}/commit/{COMMIT}"
        self._answer({"commitUrl": url, "commitOid": COMMIT, "success": True})


@contextmanager
def running_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Run a hub, and let huggingface_hub speak to it, by HTTP alone."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
