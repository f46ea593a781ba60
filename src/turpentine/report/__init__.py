"""Pages that show a run: one HTML file each, that needs no network and runs no script but its own; a model card."""

from turpentine.report.bench import render_bench, write_bench_report
from turpentine.report.bench_card import model_card
from turpentine.report.erasure import render_erasure, write_report

__all__ = ["model_card", "render_bench", "render_erasure", "write_bench_report", "write_report"]
