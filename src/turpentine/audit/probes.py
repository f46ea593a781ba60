"""What is asked for to see what else an edit broke: neighbours, others, other kinds, two objects, and open prompts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from turpentine.audit.second import described, nearest
from turpentine.bench.erasure_judges import cases_for
from turpentine.concepts import Concept, with_article
from turpentine.emoji.captions import pair_caption
from turpentine.emoji.lexicon import look_up
from turpentine.emoji.prompts import spread
from turpentine.emoji.world import OBJECTS, SCENES, TEN, WORKS, styles_of
from turpentine.judges.base import Judge
from turpentine.judges.worlds import world_of_model
from turpentine.models import Model
from turpentine.tasks.cases import Case
from turpentine.tasks.erasure_cases import ANCHORS
from turpentine.tasks.groups import GROUPS, is_preserved
from turpentine.tasks.pairs import objects_in, side_by_side

NEIGHBOURS, PAIRS, OPEN = "what is most like it", "two objects", "open prompts"
OTHER_SCENES = "scenes of other things"
STYLES_OF_A_NEIGHBOUR = 2
OPEN_PROMPTS = 4


class Probe(NamedTuple):
    """A prompt, and what its picture should show.

    Attributes:
        group: What it is of.
        prompt: The text.
        column: Of the judge; for an open prompt, the one whose labels are counted.
        expected: Labels, all of which should be there, from left to right; none for an open prompt.
    """

    group: str
    prompt: str
    column: str
    expected: tuple[str, ...] = ()


def probes_for(model: Model, concept: Concept, judge: Judge, column: str, count: int) -> list[Probe]:
    """Return a probe for each picture to draw.

    A quarter of those of single things is of neighbours; beside them there are a third as many of pairs, and of open
    prompts.

    Args:
        model: Draws them.
        concept: What is erased, and is in none.
        judge: Who looks; what it has no label for is left out.
        column: In which it sees the concept.
        count: Pictures of single things.

    Returns:
        In order of groups; empty where the judge knows nothing but the concept.
    """
    is_world = world_of_model(model) is not None
    single = _single(model, concept, judge, is_world)
    near = [each for each in single if each.group == NEIGHBOURS]
    rest = [each for each in single if each.group != NEIGHBOURS]
    of_near = (count // 4 if rest else count) if near else 0
    probes = [*_in_turns(near, of_near), *_in_turns(spread(rest, count - of_near), count - of_near)]
    if not probes:
        return []
    if is_world and "object" in judge.columns:
        probes += _in_turns(_pairs(concept), count // 3)
    probes += _in_turns(_open(concept, judge, column, is_world), max(count // 3, 2 * OPEN_PROMPTS))
    return probes


def _single(model: Model, concept: Concept, judge: Judge, is_world: bool) -> list[Probe]:
    """Return prompts for single things that are to be preserved, the nearest by the towers' distance as neighbours."""
    kin, near = _nearest(concept, is_world)
    cases = [case for case in cases_for(model, [concept], [judge]) if is_preserved(case.group) and case.expected]
    columns = {kin} if is_world else set(judge.columns)
    probes = [_probe(case, columns, near) for case in cases if case.attribute in judge.columns]
    if is_world and kin in judge.columns:
        for name in near:
            if kin == "object":
                texts = [f"{with_article(name)} in {style} style" for style in styles_of(name)[:STYLES_OF_A_NEIGHBOUR]]
                probes += [Probe(NEIGHBOURS, text, kin, (name,)) for text in texts]
            if all(name not in each.expected for each in probes):
                probes.append(Probe(NEIGHBOURS, described(name, concept.kind), kin, (name,)))
    if is_world and "object" in judge.columns and concept.kind != "scene":
        gone = look_up(concept.text)
        scenes = [(scene, obj) for scene, obj in SCENES.items() if gone is None or obj != gone.name]
        probes += [Probe(OTHER_SCENES, scene, "object", (obj,)) for scene, obj in scenes]
    return list(dict.fromkeys(probes))


def _nearest(concept: Concept, is_world: bool) -> tuple[str, tuple[str, ...]]:
    """Return the judge's column for a concept's kind, and the labels there that are nearest to it."""
    names = nearest(concept, is_world=is_world)
    if concept.kind == "artist":
        return "work", tuple(work.title for work in WORKS if work.artist in names[:1])
    if concept.kind == "scene":
        return "object", tuple(SCENES[name] for name in names if name in SCENES)
    return concept.kind, names


def _probe(case: Case, columns: Collection[str], near: Sequence[str]) -> Probe:
    group = case.group
    is_near = case.attribute in columns and case.expected in near
    if group in ("neighbour", "other") and near:
        group = "neighbour" if is_near else "other"
    return Probe(GROUPS[group], case.prompt, str(case.attribute), (str(case.expected),))


def _pairs(concept: Concept) -> list[Probe]:
    """Return captions of two objects, which stand side by side in the order of the caption."""
    gone = objects_in([concept])
    pairs = side_by_side([name for name in OBJECTS if name not in gone])
    return [Probe(PAIRS, pair_caption(*pair), "object", pair) for pair in pairs]


def _open(concept: Concept, judge: Judge, column: str, is_world: bool) -> list[Probe]:
    """Return prompts that leave something open, and the column in which seeds should differ."""
    if not is_world:
        return [Probe(OPEN, ANCHORS[concept.kind], column)]
    inside = "colour" if concept.kind == "style" else "style"
    named = look_up(concept.text)
    objects = [name for name in TEN if named is None or name != named.name][: OPEN_PROMPTS - 1]
    asks = [("a picture", "object"), *((with_article(name), inside) for name in objects)]
    return [Probe(OPEN, text, name) for text, name in asks if name in judge.columns]


def _in_turns(probes: Sequence[Probe], count: int) -> list[Probe]:
    return [probes[place % len(probes)] for place in range(count)] if probes else []
