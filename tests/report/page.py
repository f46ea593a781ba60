"""Pages as tests read them."""

from __future__ import annotations

from html.parser import HTMLParser

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}&amp;\u202e\x1b[2J"

_VOID = ("meta", "img", "br", "path", "circle")


class Page(HTMLParser):
    """Tags, attributes and text of a page, and its tables' lines.

    lines: for each table, and each line of it that has a cell with a value: the values, and the texts beside them.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.lines: list[list[list[tuple[str, str]]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "table":
            self.lines.append([])
        if tag == "tr" and self.lines:
            self.lines[-1].append([])
        value = dict(attrs).get("data-value")
        if tag in ("td", "th") and value is not None:
            self.lines[-1][-1].append((value, ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] in ("style", "script"):
            return
        self.text += data
        if self.lines and self.lines[-1] and self.lines[-1][-1] and "tr" in self.open:
            value, text = self.lines[-1][-1][-1]
            self.lines[-1][-1][-1] = value, text + data
