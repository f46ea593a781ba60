"""One database server for all tests of studies."""

from __future__ import annotations

from study.studies import cluster, url

__all__ = ["cluster", "url"]
