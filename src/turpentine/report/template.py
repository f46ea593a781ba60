"""Templates of pages: values are escaped, and a name that does not exist is an error."""

from __future__ import annotations

import base64
import re
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2

import turpentine
from turpentine.core import formatting as numbers
from turpentine.core.hashing import digest_bytes
from turpentine.core.safe_text import one_line


def fill(name: str, script: str = "", **values: Any) -> str:
    """Return a page's template filled with values, as HTML.

    Args:
        name: File of the template.
        script: File of the one script that the page runs, if any; no other text can run, whatever a name may hold, for
            the page gives the browser the script's SHA-256.
        values: By name.
    """
    text = _text(script) if script else ""
    return _template(name).render(**values, script=text, script_hash=_hash(text), version=turpentine.__version__)


def _text(name: str) -> str:
    return files("turpentine.report").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return base64.b64encode(bytes.fromhex(digest_bytes(script.encode()))).decode() if script else ""


@cache
def _template(name: str) -> jinja2.Template:
    return environment_of("turpentine.report").get_template(name)


@cache
def environment_of(package: str) -> jinja2.Environment:
    """Return what reads a package's templates: everything is escaped, and what is not given is an error.

    Args:
        package: Its dotted name; the templates are in its folder `templates`.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": numbers.percent,
        "span": numbers.span,
        "points": numbers.points,
        "points_span": numbers.points_span,
        "duration": numbers.duration,
        "file_size": numbers.file_size,
        "one_line": _one_line,
    }
    environment.filters["around_digests"] = _around_digests
    return environment


_BEFORE_PERCENT = re.compile(r"(?<=[\d)]) (?=%)")


def _one_line(text: str) -> str:
    """Put text on one line, and no line's end between a number and its %."""
    return _BEFORE_PERCENT.sub("\u00a0", one_line(text))


_DIGEST = re.compile(r"\b([0-9a-f]{40,64})\b")
"""What no reader reads to its end: pages show how it begins, and the rest on a click."""


def _around_digests(text: object) -> list[str]:
    """Return the parts of a text: before a digest, a digest, and so on in turn."""
    return _DIGEST.split(_one_line(str(text)))
