"""A selection of named parts of a model, as a value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

from turpentine.core import notebook
from turpentine.core.errors import BadArgument, EmptySelection, MixedSites, UnknownName, UnsupportedModel
from turpentine.models.windows import Window

Level = Literal["module", "layer"]
Names = str | Collection[str]


DENOISER = "denoiser"
"""The component of the denoiser's sites; those of the text encoders are "text", and "text-2" for a second."""


READS_TEXT = ("cross-attention", "joint-attention")
"""The kinds of the denoiser's attention to the text; a family has the one or the other."""


@dataclass(frozen=True)
class Site:
    """One named part of a model, as `model.sites` lists them.

    Args:
        name: Its dotted name, with the pipeline's part first, such as `unet.mid_block.attentions.0`.
        kind: What it is, such as "cross-attention", "resnet" or "text-mlp"; `turpentine info` lists the kinds.
        label: Its short name, such as DOWN1: that of the cross-attention module whose transformer block it is in, or
            TEXT1 for the text encoder's first layer; empty where there is none.
        resolution: Height of the picture at this place, in latent pixels at the model's native size; 0 without one.
        level: "module" for a whole (attention, feed-forward, resnet), "layer" for a linear, convolution or norm inside.
        parameters: Dotted names of the weights and biases inside.
        component: Which network it is in: "denoiser", "text", or "text-2".
        role: What a layer of an attention makes: "query", "key", "value" or "output"; empty elsewhere. In joint
            attention those of the text, and "image-query" and so on of the picture.
        rows: First and last but one of the rows that are its own, where its layer is several in one, as in FLUX.2's
            single blocks; its name is then the layer's, a colon, and its role. None for all.
    """

    name: str
    kind: str
    label: str
    resolution: int
    level: Level
    parameters: tuple[str, ...] = field(default=(), repr=False)
    component: str = field(default=DENOISER, repr=False)
    role: str = field(default="", repr=False)
    rows: tuple[int, int] | None = field(default=None, repr=False)

    @property
    def path(self) -> str:
        """The dotted name of the module that it is, or is a slice of."""
        return self.name.partition(":")[0]

    def __str__(self) -> str:
        return f"{self.label} {self.kind}: {self.name}" if self.label else f"{self.kind}: {self.name}"


@dataclass(frozen=True, repr=False)
class Sites:
    """Some of a model's sites in order of execution; an immutable value that can be a key.

    Iterate it, take its `len`, ask `in`; combine with `|`, `&`, `-`; `~` is every other site of the model. A module and
    the layers inside it are sites of their own: narrow to one level before inverting, `modules - some_modules`.

    Args:
        everything: All sites of the model, in order of execution.
        chosen: The selected ones, in the same order.
        window: The part of the schedule where the selection applies; None means all of it.
        absent: Patterns of kinds, labels and names that other families have and this model's has not, each with a
            sentence about it.

    Example:
        >>> import turpentine as tp
        >>> model = tp.load()
        >>> deep = model.sites.only(kind="cross-attention", level="module", label="UP?")
        >>> [site.label for site in deep]
        ['UP1', 'UP2', 'UP3', 'UP4', 'UP5', 'UP6', 'UP7', 'UP8', 'UP9']
        >>> late = deep.during(0.5, 1)
        >>> late.window
        Window(start=0.5, stop=1)
    """

    everything: tuple[Site, ...]
    chosen: tuple[Site, ...]
    window: Window | None = None
    absent: Mapping[str, str] = field(default_factory=dict, compare=False)

    @staticmethod
    def all_of(sites: Collection[Site], *, absent: Mapping[str, str] | None = None) -> Sites:
        """Return the selection of everything, with the kinds that a model's family has not."""
        return Sites(tuple(sites), tuple(sites), absent=absent or {})

    def __iter__(self) -> Iterator[Site]:
        return iter(self.chosen)

    def __len__(self) -> int:
        return len(self.chosen)

    def __contains__(self, site: object) -> bool:
        return site in self.chosen

    def __hash__(self) -> int:
        return hash((self.chosen, self.window))

    def __or__(self, other: Sites) -> Sites:
        return self._combined(other, lambda site, mine, theirs: site in mine or site in theirs)

    def __and__(self, other: Sites) -> Sites:
        return self._combined(other, lambda site, mine, theirs: site in mine and site in theirs)

    def __sub__(self, other: Sites) -> Sites:
        return self._combined(other, lambda site, mine, theirs: site in mine and site not in theirs)

    def __invert__(self) -> Sites:
        mine = set(self.chosen)
        return replace(self, chosen=tuple(site for site in self.everything if site not in mine))

    def _combined(self, other: Sites, holds: Callable[[Site, set[Site], set[Site]], bool]) -> Sites:
        if self.everything != other.everything:
            raise MixedSites("These sites are of two models: take both selections from the same one.")
        if self.window != other.window:
            raise MixedSites("These sites have two windows: combine the selections first, then call `during`.")
        mine, theirs = set(self.chosen), set(other.chosen)
        return replace(self, chosen=tuple(site for site in self.everything if holds(site, mine, theirs)))

    def only(
        self,
        *,
        kind: Names | None = None,
        label: Names | None = None,
        resolution: int | Collection[int] | None = None,
        level: Level | None = None,
        name: Names | None = None,
        component: Names | None = None,
        role: Names | None = None,
    ) -> Sites:
        """Narrow the selection; each argument given must hold, and in a list of alternatives one of them.

        Args:
            kind: Patterns, where `*` is any text and `?` one character; those of label, name, component and role too.
            label: Such as "UP?".
            resolution: Numbers of latent pixels.
            level: "module" or "layer".
            name: Dotted names.
            component: "denoiser", or "text*" for all text encoders.
            role: "query", "key", "value" or "output".

        Raises:
            EmptySelection: Nothing is left; the message says what was looked for and what exists.
            UnsupportedModel: The model's family has nothing of the kind.
        """
        given = {"kind": kind, "label": label, "resolution": resolution, "level": level, "name": name}
        given |= {"component": component, "role": role}
        filters = {key: _listed(value) for key, value in given.items() if value is not None}
        chosen = tuple(site for site in self.chosen if _fits(site, filters))
        if not chosen:
            self.check_present(value for key in ("kind", "label", "name") for value in filters.get(key, ()))
            raise EmptySelection(_nothing_left(self.chosen, filters))
        return replace(self, chosen=chosen)

    def check_present(self, looked_for: Iterable[object]) -> None:
        """Check that what was looked for is nothing that the model's family has not.

        Args:
            looked_for: Kinds, labels or dotted names.

        Raises:
            UnsupportedModel: It has none.
        """
        for value in map(str, looked_for):
            sentences = [sentence for pattern, sentence in self.absent.items() if fnmatchcase(value, pattern)]
            if sentences:
                raise UnsupportedModel(sentences[0])

    def named(self, names: Collection[str]) -> Sites:
        """Return the sites of these dotted names, all of them; a layer that is several in one stands for each.

        Raises:
            UnknownName: No site has a name.
        """
        present = {name for site in self.chosen for name in (site.name, site.path)}
        missing = [name for name in names if name not in present]
        if missing:
            raise UnknownName(f"No site is called {missing[0]!r}: see turpentine info for the names that there are.")
        return replace(self, chosen=tuple(site for site in self.chosen if site.name in names or site.path in names))

    def during(self, start: float, stop: float) -> Sites:
        """Return the same sites in a window of the schedule.

        Args:
            start: Fraction of the schedule, from 0 (pure noise).
            stop: Fraction of the schedule, to 1.

        Raises:
            BadWindow: Not 0 ≤ start < stop ≤ 1.
        """
        return replace(self, window=Window(start, stop))

    def parameters(self) -> tuple[str, ...]:
        """Return the dotted names of the weights and biases of all layers inside, each once, in order of execution."""
        return tuple(dict.fromkeys(name for site in self.chosen for name in site.parameters))

    def slices(self) -> dict[str, list[tuple[int, int]]]:
        """Return the rows that are chosen of weights and biases of which others are not, by their dotted names."""
        partly: dict[str, list[tuple[int, int]]] = {}
        for site in self.chosen:
            for name in site.parameters if site.rows else ():
                partly.setdefault(name, []).append(site.rows or (0, 0))
        whole = {name for site in self.chosen if site.rows is None for name in site.parameters}
        parts = [name for site in self.everything if site.rows for name in site.parameters]
        return {name: rows for name, rows in partly.items() if name not in whole and len(rows) < parts.count(name)}

    def __repr__(self) -> str:
        during = f" during {self.window.start:g} to {self.window.stop:g}" if self.window else ""
        return f"Sites({len(self)} of {len(self.everything)}: {_listing(self.chosen)}{during})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rows = [(site.label, site.kind, site.resolution or "", site.name) for site in self.chosen]
        during = f", during {self.window.start:g} to {self.window.stop:g} of the steps" if self.window else ""
        note = f"{len(self):,} of {len(self.everything):,}{during}"
        return notebook.box("Sites", notebook.table(("label", "kind", "px", "name"), rows), note=note)


Selection: TypeAlias = str | Sites | tuple[str, ...]
"""What a method's setting `sites` may be; see `selected`."""


def selected(sites: Sites, selection: Selection) -> Sites:
    """Return the sites of a model that a setting selects.

    Args:
        sites: The model's.
        selection: `Sites` as they are; dotted names; or a text: kinds, labels and dotted names with commas between,
            where `*` is any text and `?` one character, such as "cross-attention", "UP2, UP3" or "unet.mid_block.*".
            Kinds and labels select layers, a label those of the whole transformer block; "all" is every layer of the
            denoiser.

    Raises:
        EmptySelection: A part of a text that selects none.
        UnknownName: A name in a tuple that no site has.
    """
    if isinstance(selection, Sites):
        return selection
    if not isinstance(selection, str):
        return sites.named(selection)
    parts = [part.strip() for part in selection.split(",")]
    for part in parts:
        if not any(_is_called(site, part) for site in sites):
            sites.check_present([part])
            raise EmptySelection(_nothing_called(sites, part))
    return replace(sites, chosen=tuple(site for site in sites if any(_is_called(site, part) for part in parts)))


def check_in_denoiser(sites: Sites) -> None:
    """Check that all weights inside the sites are the denoiser's.

    Raises:
        BadArgument: One is of another network.
    """
    outside = next((name for site in sites if site.component != DENOISER for name in site.parameters), None)
    if outside:
        raise BadArgument(f"Only the denoiser's weights count, and {outside} is not in it: leave its site out.")


def check_whole(sites: Sites) -> None:
    """Check that no weight is selected in part, where whole ones are changed.

    Raises:
        UnsupportedModel: One is.
    """
    partly = next(iter(sites.slices()), None)
    if partly:
        raise UnsupportedModel(
            f"{partly} holds several layers in one, and only some of its rows are selected: select all of its sites."
        )


def check_windowless(sites: object) -> None:
    """Check that sites have no window, where a change acts in every step.

    Raises:
        BadArgument: They have one.
    """
    if isinstance(sites, Sites) and sites.window is not None:
        raise BadArgument(f"{sites} has a window, and a changed weight acts in every step: give sites without one.")


def window_of(window: tuple[float, float], sites: object) -> Window:
    """Return a window of the settings, narrowed by that of the sites where they have one.

    Raises:
        BadWindow: The two share nothing.
    """
    own = sites.window if isinstance(sites, Sites) else None
    return Window(*window) & (own or Window())


def as_sites(sites: Site | Sites) -> Sites:
    """Return a single site as a selection of one."""
    return sites if isinstance(sites, Sites) else Sites((sites,), (sites,))


def _listed(value: object) -> list[object]:
    items = [value] if isinstance(value, str | int) else list(value)  # type: ignore[call-overload]
    if not items:
        raise BadArgument("An empty list selects nothing: leave the argument out to select all.")
    return items


def _fits(site: Site, filters: dict[str, list[object]]) -> bool:
    return all(any(_matches(getattr(site, key), item) for item in items) for key, items in filters.items())


def _matches(value: object, pattern: object) -> bool:
    if isinstance(pattern, str):
        return fnmatchcase(str(value), pattern)
    return value == pattern


def _nothing_left(sites: tuple[Site, ...], filters: dict[str, list[object]]) -> str:
    looked = ", ".join(f"{key} {' or '.join(map(repr, items))}" for key, items in filters.items())
    exists = "; ".join(f"{key}: {_some([getattr(site, key) for site in sites])}" for key in filters)
    return f"No site has {looked}: there are {exists or 'no sites at all'}."


def _is_called(site: Site, part: str) -> bool:
    if part == "all":
        return site.level == "layer" and site.component == DENOISER
    short = [site.kind, site.label] if site.level == "layer" else []
    return any(fnmatchcase(name, part) for name in (site.name, *filter(None, short)))


def _nothing_called(sites: Sites, part: str) -> str:
    kinds, labels = _some([site.kind for site in sites]), _some([site.label for site in sites], limit=40)
    return f"No site has the kind, the label or the name {part!r}: there are the kinds {kinds}; the labels {labels}."


def _some(values: list[object], limit: int = 24) -> str:
    distinct = [str(value) for value in dict.fromkeys(values) if value != ""]
    return ", ".join(distinct[:limit]) + (", ..." if len(distinct) > limit else "") if distinct else "none"


def _listing(sites: tuple[Site, ...]) -> str:
    names = [f"{site.label or site.name} {site.kind}" for site in sites]
    listed = names if len(names) <= 4 else [*names[:3], "...", names[-1]]
    return ", ".join(listed) or "none"
