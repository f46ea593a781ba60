"""How plots look on pages: in the page's type and colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CARD, INK, SOFT, LINE = "#fcfbf8", "#22261f", "#6b7068", "#dfdcd2"
"""The page's colours of plots: their ground, titles, all other text, and frames."""

CYCLE = ("#1f6f54", "#9a9689", "#b0402c", "#3f6c8f", "#c08a2d", "#7a5c8e")
"""Colours of lines in the order of matplotlib's own, which they replace."""

DPI = 150
"""Pixels to an inch of a plot in its file."""

_SERIF = "DejaVu Serif"
"""Of titles; it comes with matplotlib, so that a plot is the same on every machine."""


def dressed(figure: Figure) -> Figure:
    """Return a figure in the page's type and colours: serif titles, soft labels, a light frame, its palette.

    What a plot colours by itself stays as it is; matplotlib's default colours become the page's.

    Example:
        >>> from matplotlib.figure import Figure
        >>> figure = Figure()
        >>> line, = figure.subplots().plot([1, 2])
        >>> _ = dressed(figure)
        >>> line.get_color()
        '#1f6f54'
    """
    figure.set_facecolor(CARD)
    for nested in (figure, *_nested(figure)):
        nested.set_facecolor(CARD)
        _dress_texts(nested)
    for axes in figure.get_axes():
        _dress(axes)
    return figure


def _nested(figure: Any) -> list[Any]:
    return [below for each in figure.subfigs for below in (each, *_nested(each))]


def _dress_texts(figure: Any) -> None:
    """Give the page's type and colours to what stands above, below and beside all of a figure's axes."""
    for name, text in (("title", figure._suptitle), ("below", figure._supxlabel), ("beside", figure._supylabel)):
        if text is not None:
            text.set(**({"family": _SERIF, "color": INK} if name == "title" else {"color": SOFT}))
    for legend in figure.legends:
        _dress_legend(legend)


def _dress(axes: Axes) -> None:
    axes.set_facecolor(CARD)
    has_image = bool(axes.get_images())
    for side, spine in axes.spines.items():
        spine.set_color(LINE)
        if side in ("top", "right") and not has_image:
            spine.set_visible(False)
    axes.tick_params(colors=SOFT, which="both")
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(SOFT)
    for title in (axes.title, axes._left_title, axes._right_title):  # type: ignore[attr-defined]
        title.set(family=_SERIF, color=INK)
    for artist in (*axes.lines, *axes.patches, *axes.collections):
        _recolour(artist)
    legend = axes.get_legend()
    if legend is not None:
        _dress_legend(legend)


def _dress_legend(legend: Any) -> None:
    legend.set_frame_on(False)
    for text in legend.get_texts():
        text.set_color(SOFT)
    for artist in legend.findobj():  # the handles leave out an error bar's mark
        _recolour(artist)


def _recolour(artist: Any) -> None:
    """Give the page's colours to what has matplotlib's default ones."""
    from matplotlib.colors import to_hex

    for part in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
        get, put = getattr(artist, f"get_{part}", None), getattr(artist, f"set_{part}", None)
        if get is None or put is None:
            continue
        value = get()
        rows = value if getattr(value, "ndim", 1) == 2 else [value]
        if len(rows) != 1 or (isinstance(rows[0], str) and rows[0] in ("none", "auto")):
            continue
        place = _DEFAULTS.get(to_hex(rows[0]))
        if place is not None:
            put(CYCLE[place % len(CYCLE)])


_DEFAULTS = {
    colour: place
    for place, colour in enumerate(
        ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
    )
}
