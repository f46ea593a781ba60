"""The server of a study: a page for consent, a page for a rater, and the few requests that it makes."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

import jinja2
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from turpentine.core.errors import BadArgument, TurpentineError
from turpentine.report.template import environment_of
from turpentine.study.database import DatabaseGone
from turpentine.study.guard import StudyGuard
from turpentine.study.pictures import SMALL
from turpentine.study.store import Rater, StudyFull, StudyStore, UnknownToken

if TYPE_CHECKING:
    from collections.abc import Collection

    from turpentine.study.trials import StudyTrial

ASSETS = {
    "page.css": ("turpentine.report", "text/css"),
    "study.css": ("turpentine.study", "text/css"),
    "study.js": ("turpentine.study", "text/javascript"),
    "join.js": ("turpentine.study", "text/javascript"),
    "icon.svg": ("turpentine.study", "image/svg+xml"),
}
_STATUS: dict[type[TurpentineError], int] = {DatabaseGone: 503, StudyFull: 409, UnknownToken: 404, BadArgument: 422}
_AHEAD = 2
"""Trials whose pictures the page fetches beforehand."""


class PutAnswer(BaseModel):
    """What a page sends as an answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    trial: Annotated[int, Field(ge=0, le=100_000)]
    value: Annotated[str, Field(max_length=16)]
    ms: Annotated[int, Field(ge=0)]


class Nothing(BaseModel):
    """What a page sends where there is nothing to say."""

    model_config = ConfigDict(extra="forbid")


def create_app(store: StudyStore, names: Collection[str] = ()) -> Any:
    """Return the application of a study, for an ASGI server such as uvicorn.

    Args:
        store: The database.
        names: Host names that it goes by, besides the loopback's.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    pages = _Pages(store)
    # Plain functions wait for a database, and run in threads of their own; what is in memory needs none.
    app.get("/s/{entry}", response_class=HTMLResponse)(pages.consent)
    app.post("/s/{entry}/join")(pages.join)
    app.get("/r/{token}", response_class=HTMLResponse)(pages.rater)
    app.get("/r/{token}/next")(pages.current)
    app.post("/r/{token}/answers")(pages.answer)
    app.post("/r/{token}/stop")(pages.stop)
    app.post("/r/{token}/delete")(pages.delete)
    app.get("/pictures/{name}")(pages.picture)
    app.get("/assets/{name}")(pages.asset)
    app.exception_handler(TurpentineError)(_failed)
    app.exception_handler(RequestValidationError)(_misread)
    app.exception_handler(404)(_absent)
    return StudyGuard(app, names)


class _Pages:
    """What is answered to each request."""

    def __init__(self, store: StudyStore) -> None:
        self._store, self._study = store, store.study
        self._content = lru_cache(maxsize=512)(lambda name: self._study.stills[name].content())

    def consent(self, entry: str) -> Response:
        """Return the page that a rater comes to first."""
        self._check(entry)
        spec = self._study.spec
        paragraphs = [each.strip() for each in spec.consent.split("\n\n") if each.strip()]
        return HTMLResponse(
            _template("consent.html").render(
                title=spec.title,
                paragraphs=paragraphs,
                contact=spec.contact,
                entry=entry,
                has_blur=any(each.blur for each in self._study.stills.values()),
            )
        )

    def join(self, entry: str, body: Nothing) -> dict[str, str]:
        """Give a place to a new rater, who has agreed."""
        self._check(entry)
        token, _ = self._store.join()
        return {"link": f"/r/{token}"}

    def rater(self, token: str) -> Response:
        """Return a rater's page."""
        self._store.rater(token)
        return HTMLResponse(_template("rater.html").render(title=self._study.spec.title, token=token))

    def current(self, token: str) -> Response:
        """Return the trial that comes next."""
        return JSONResponse(self._state(*self._store.progress(token)))

    def answer(self, token: str, body: PutAnswer) -> Response:
        """Store an answer, and return the trial that comes next; of practice, what would have been right."""
        rater, place, stored = self._store.put(token, body.trial, body.value, body.ms)
        trial = self._study.trials(rater.slot)[body.trial]
        result = {**self._state(rater, place), "stored": stored}
        if trial.phase == "practice":
            result |= {"explanation": trial.explanation, "right": stored in trial.right_answers}
        return JSONResponse(result)

    def stop(self, token: str, body: Nothing) -> dict[str, Any]:
        """Note that a rater has stopped."""
        return {"state": self._store.stop(token).state}

    def delete(self, token: str, body: Nothing) -> dict[str, Any]:
        """Delete a rater's answers."""
        return {"state": "deleted", "answers": self._store.forget(token)}

    async def picture(self, name: str) -> Response:
        """Return a picture."""
        if name not in self._study.stills:
            return JSONResponse({"error": "There is no such picture."}, 404)
        headers = {"cache-control": "private, max-age=86400, immutable"}
        return Response(self._content(name), media_type="image/png", headers=headers)

    async def asset(self, name: str) -> Response:
        """Return a style or a script."""
        if name not in ASSETS:
            return JSONResponse({"error": "There is no such file."}, 404)
        return Response(_asset(name), media_type=ASSETS[name][1], headers={"cache-control": "private, max-age=3600"})

    def _check(self, entry: str) -> None:
        if entry != self._store.entry:
            raise UnknownToken("This link leads to no study: it is not complete.")

    def _state(self, rater: Rater, place: int) -> dict[str, Any]:
        """Return what a page shows of a rater: the state, and the next trial where there is one."""
        trials = self._study.trials(rater.slot)
        if rater.state != "active" or place >= len(trials):
            return {"state": rater.state}
        ahead = [self._url(still) for trial in trials[place + 1 : place + 1 + _AHEAD] for still in trial.stills]
        return {"state": "active", "trial": self._on_the_page(trials, place), "ahead": ahead}

    def _on_the_page(self, trials: tuple[StudyTrial, ...], place: int) -> dict[str, Any]:
        """Return a trial as a page shows it: nothing in it says what drew a picture, or which trial is a check."""
        trial, question = trials[place], trials[place].question
        examples = list(self._study.examples.get(trial.subject, ()))[: question.examples]
        warmup = sum(each.phase in ("practice", "qualification") for each in trials)
        return {
            "number": place,
            "step": place + 1 if place < warmup else place + 1 - warmup,
            "of": warmup if place < warmup else len(trials) - warmup,
            "warmup": place < warmup,
            "kind": question.kind,
            "text": question.worded(trial.subject, trial.prompt),
            "low": question.low,
            "high": question.high,
            "examples_title": self._examples_title(trial),
            "pictures": [{"url": self._url(each), "blur": each.blur} for each in trial.stills],
            "examples": [{"url": self._url(each), "blur": each.blur} for each in examples],
            "pixels": SMALL,
        }

    def _examples_title(self, trial: StudyTrial) -> str:
        examples = self._study.spec.examples
        return examples.title.format(subject=trial.subject, prompt=trial.prompt) if examples else ""

    def _url(self, still: Any) -> str:
        return f"/pictures/{self._study.name_of(still)}"


def _failed(request: Request, error: Exception) -> Response:
    """Return what went wrong, as a page or as JSON."""
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    headers = {"retry-after": "2"} if status == 503 else {}
    if request.method == "GET" and request.url.path.count("/") == 2:
        html = _template("message.html").render(title="Sorry", message=str(error))
        return HTMLResponse(html, status, headers)
    return JSONResponse({"error": str(error)}, status, headers)


def _misread(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "This is no answer that could be stored: reload the page."}, 422)


def _absent(request: Request, error: Exception) -> Response:
    return HTMLResponse(_template("message.html").render(title="Sorry", message="There is no such page."), 404)


@cache
def _asset(name: str) -> bytes:
    return files(ASSETS[name][0]).joinpath("templates", name).read_bytes()


@cache
def _template(name: str) -> jinja2.Template:
    return environment_of("turpentine.study").get_template(name)
