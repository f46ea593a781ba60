"""Make docs/_static/citations.html, the graph of the works that this package comes from, of docs/citations.yaml.

    python tools/citations.py

One file that loads nothing: hover over a work for its title, click it for what it is and its key terms, drag it, zoom
by the wheel or the buttons; works can be chosen by the keyboard. Key terms are the words of titles and summaries with
the largest tf–idf over all works.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, SOURCE = DOCS / "_static" / "citations.html", DOCS / "citations.yaml"
TEMPLATE = Path(__file__).with_name("citations_template.html")

TERMS = 5
"""Key terms of a work."""

PLAIN = frozenset(
    (
        *("about", "all", "and", "are", "away", "been", "brings", "but", "does", "each", "else", "for", "from", "has"),
        *(
            "have",
            "here",
            "how",
            "into",
            "its",
            "map",
            "more",
            "not",
            "one",
            "onto",
            "other",
            "over",
            "same",
            "several",
        ),
        *("that", "the", "their", "them", "then", "there", "they", "this", "through", "used", "what", "when", "where"),
        *("which", "with", "without", "first", "back", "still", "let", "lets", "gives"),
    )
)
"""Words that are no terms."""


class Part(BaseModel):
    """Part of the file: written whole, with no other keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Work(Part):
    """A paper, thesis or talk.

    Attributes:
        title: Its title.
        by: Its authors, in short.
        year: It came out.
        arxiv: Its number there, if it has one.
        source: Whether the package began from it.
        about: What it is about, in a sentence of ours.
        here: What Turpentine has of it.
    """

    title: str
    by: str
    year: int
    arxiv: str = ""
    source: bool = False
    about: str
    here: str


class Graph(Part):
    """Works by name, which cites which, and which are alike."""

    works: Mapping[str, Work]
    cites: Mapping[str, Sequence[str]]
    alike: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, path: Path = SOURCE) -> Graph:
        """Read and check the file.

        Raises:
            ValueError: An edge names no work, or itself.
        """
        graph = cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        for edges in (graph.cites, graph.alike):
            for name, others in edges.items():
                unknown = {name, *others} - set(graph.works)
                if unknown or name in others:
                    raise ValueError(f"{name}: there is no work {', '.join(sorted(unknown)) or 'that cites itself'}.")
        return graph


def words_of(text: str) -> list[str]:
    """Return the words of a text that may be terms.

    Example:
        >>> words_of("Erasing Concepts from Diffusion Models")
        ['erasing', 'concepts', 'diffusion', 'models']
    """
    words = re.findall(r"[^\W\d_][\w-]{2,}", text.lower())
    return [word for word in words if word not in PLAIN]


def key_terms(texts: Mapping[str, str], count: int = TERMS) -> dict[str, list[tuple[str, float]]]:
    """Return the terms of each text with the largest tf–idf, and these, of vectors of length 1.

    tf is a word's share of its text, idf the logarithm of how many texts there are for each that has it, plus 1.
    """
    each = {name: Counter(words_of(text)) for name, text in texts.items()}
    having = Counter(word for words in each.values() for word in words)
    terms = {}
    for name, words in each.items():
        scores = {word: number * (math.log(len(each) / having[word]) + 1) for word, number in words.items()}
        norm = math.sqrt(sum(score**2 for score in scores.values())) or 1.0
        best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:count]
        terms[name] = [(word, round(score / norm, 3)) for word, score in best]
    return terms


def page_of(graph: Graph) -> str:
    """Return the page."""
    terms = key_terms({name: f"{work.title} {work.about}" for name, work in graph.works.items()})
    data = {
        "works": [{"name": name, **work.model_dump(), "terms": terms[name]} for name, work in graph.works.items()],
        "edges": [
            {"from": name, "to": other, "kind": kind}
            for kind, edges in (("cites", graph.cites), ("alike", graph.alike))
            for name, others in edges.items()
            for other in others
        ],
    }
    text = json.dumps(data, ensure_ascii=False, indent=None).replace("</", "<\\/")
    return TEMPLATE.read_text(encoding="utf-8").replace("/* DATA */ null", text)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page_of(Graph.read()), encoding="utf-8")


if __name__ == "__main__":
    main()
