"""The page of a tour or a replication: the finding of each instrument, as a picture and in a sentence or two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from turpentine.core.atomic_files import write_text_whole
from turpentine.explain.tour import StopResult
from turpentine.report.glossary import glossary
from turpentine.report.pictures import plot_in
from turpentine.report.template import fill

_PLOTTED: Mapping[str, Sequence[str]] = {
    "dynamics": ("latent", "UP1"),
    "heads": ("silhouette", "UP1 H1"),
    "intervene": ("UP1", "layout"),
    "maps": ("AUC",),
}
"""Terms that stand in a stop's picture, and perhaps not in its text."""

ONE_PROMPT = (
    "Intervals are of 95 %, over pictures of this one prompt: they say what other seeds might give, not other prompts."
)
MANY_PROMPTS = "Intervals are of 95 %, over prompts: they say what other prompts of the kind might give."


def write_stops_page(
    stops: Sequence[StopResult],
    path: Path,
    *,
    title: str,
    lead: str,
    note: str,
    facts: Mapping[str, str],
    command: str = "",
) -> Path:
    """Write the page of stops as one HTML file, whole or not at all, and return its path.

    Args:
        stops: In their order.
        path: Of the file.
        title: What is explained.
        lead: What was done, in a sentence.
        note: What its intervals are over.
        facts: Of the model and the drawing, by name.
        command: The command line, to print on the page.

    Raises:
        OSError: As the file system does.
    """
    html = fill(
        "tour_page.html",
        title=title,
        lead=lead,
        note=note,
        stops=[(stop, plot_in(stop.plot)) for stop in stops],
        facts=facts,
        command=command,
        terms=glossary([text for stop in stops for text in (stop.question, stop.text, *_PLOTTED.get(stop.name, ()))]),
    )
    return write_text_whole(path, html)
