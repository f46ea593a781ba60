"""Reports of a run: one HTML file each, that needs no network and runs no script but its own; a model card."""

from typing import TYPE_CHECKING

from turpentine.core.lazy import lazy_exports

if TYPE_CHECKING:
    from turpentine.report.card import model_card
    from turpentine.report.run_page import render_erasure, write_report
    from turpentine.report.table_page import render_bench, write_bench_report

__all__ = ["model_card", "render_bench", "render_erasure", "write_bench_report", "write_report"]

__getattr__, __dir__ = lazy_exports(__name__)
