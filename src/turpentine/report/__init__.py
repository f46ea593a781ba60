"""Pages that show a run: one HTML file each, that needs no network and runs no script."""

from turpentine.report.erasure import render_erasure, write_report

__all__ = ["render_erasure", "write_report"]
