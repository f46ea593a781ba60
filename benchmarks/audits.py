"""Audit every method, and models of which the answer is known, beside both oracles of a concept: a row for each.

    python benchmarks/audits.py                       # of church, some five minutes a row on one core
    python benchmarks/audits.py --concept ink         # beside the oracles that were trained in runs/
    python benchmarks/audits.py --concept dog --concept truck --only uce --pictures 40    # without any: one table
    python benchmarks/audits.py --only cad --pictures 20 --steps 2 --docs /tmp/pages --keep /tmp/audits

The methods have their presets, which were chosen on other objects. Each audit is as `turpentine audit` makes it, with a
learned word and tokens of chance; what is not of an edit is drawn once for all. Known are the model as it is, its word
swapped for another, a filter of prompts, both oracles taken for edits, and a model of noise. The word that is learned
for a style begins as "style". Goes into docs/audit.md; a run that was killed goes on, and the numbers of each audit are
in the folder of what is finished.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pages import fill, page_parser, parsed

import turpentine as tp
from turpentine.attack.controls import swapped_word
from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.audit.audited import Audited
from turpentine.audit.comparison import EDITED_FROM_ORACLE, Comparison
from turpentine.audit.damage import OTHERS, PLACES
from turpentine.audit.evidence import NAMED
from turpentine.audit.plan import OTHERS as OTHER_PICTURES
from turpentine.core.formatting import with_span
from turpentine.core.markdown import markdown_table
from turpentine.core.plugins import METHODS as METHOD_KINDS
from turpentine.core.plugins import find
from turpentine.edits import Edit
from turpentine.emoji.lexicon import world_concept
from turpentine.emoji.oracles import oracles_of
from turpentine.erase.filters import PromptFilter
from turpentine.judges import EmojiJudge
from turpentine.stats.intervals import Rate

CHURCH = "church"
SEEN = {CHURCH: "a church"}
METHODS = (
    *("uce-aligned", "uce", "rece", "diff-quickfix", "esd-x", "esd-u", "cad", "conceptprune"),
    *("sld-medium", "negative-prompt"),
)
DEEP = ("depth", "FADE")
HEAD = ("by name", "by a learned word", "R", "by tokens of chance", "others", "two in their places", *DEEP)

Known = Mapping[str, Callable[[tp.Model, tp.Concept], Victim]]


def noisy(model: tp.Model, _: tp.Concept) -> Victim:
    """Return the model with noise in the place of what its last layer says."""
    name = "unet.conv_out.weight"
    weight = model.parameter(name).detach().float().cpu()
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) * weight.std()
    return Victim(model, (Edit({name: noise - weight}),))


def oracles_of_both(concept: str) -> dict[str, str]:
    """Return the first oracle of each sort that is here, by its arm."""
    found = {"oracle": oracles_of(concept), "unnamed": oracles_of(concept, unnamed=True)}
    return {arm: names[0] for arm, names in found.items() if names}


def known_of(concept: str) -> Known:
    """Return the models of which the answer is known, by their titles."""
    titles = {"oracle": f"a model that never saw {SEEN.get(concept, concept)}"}
    titles["unnamed"] = f'a model that never read "{concept}"'
    return {
        "the model as it is": lambda model, _: Victim(model),
        "its word swapped for another's": lambda model, what: Victim(model, (swapped_word(Victim(model), what),)),
        "a filter of prompts": lambda model, what: Victim(model, (PromptFilter()(model, what),)),
        **{titles[arm]: partial(_oracle, name) for arm, name in oracles_of_both(concept).items()},
        "a last layer of noise": noisy,
    }


def _oracle(name: str, *_: Any) -> Victim:
    return Victim(tp.load(name))


def edited_by(method: str, model: tp.Model, concept: tp.Concept) -> Victim:
    """Return the model with a method's preset on it."""
    return Victim(model, (find(method, METHOD_KINDS).defaults(model)(model, concept),))


def cells(numbers: Mapping[str, Any]) -> list[str]:
    """Return a row of the table, without its title, from what `audit.json` has."""
    rates = {row["attack"]: row for row in numbers["rates"] if row["arm"] == "edited"}
    damage = {row["measure"]: row for row in numbers["damage"]["measures"]}
    share = next(row["recovery"] for row in numbers["attacks"] if row["attack"] == "cce")
    fade, depth = numbers["fade"].get(EDITED_FROM_ORACLE), numbers["depth"].get("score")

    def rate(attack: str) -> str:
        row = rates[attack]
        return with_span(Rate(row["hits"], row["n"], (row["low"], row["high"])))

    return [
        f"*{numbers['verdict']}*",
        rate(NAMED),
        rate("cce"),
        "–" if share is None else "{value:.2f} ({low:.2f} to {high:.2f})".format(**share),
        rate("random-prefix"),
        *(f"{100 * damage[measure]['edited']:.0f}" for measure in (OTHERS, PLACES)),
        "–" if depth is None else f"{depth:.2f}",
        "–" if fade is None else f"{fade['value']:.3f}",
    ]


def table(audits: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the rows of some audits, by what `audit.json` has of each."""
    return markdown_table(("edited", "verdict", *HEAD), [(title, *cells(each)) for title, each in audits.items()])


def table_of_several(audits: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return the rows of audits of several concepts, by concept and title, without what takes an oracle."""
    head = ("concept", "edited", "verdict", *HEAD[: -len(DEEP)])
    rows = [
        (concept, title, *cells(each)[: -len(DEEP)]) for concept, some in audits.items() for title, each in some.items()
    ]
    return markdown_table(head, rows)


def audits_of(concept: tp.Concept, options: Namespace, keep: Path) -> dict[str, Audited]:
    """Audit what is asked for, or all, and write each audit; those that are there are read."""
    oracles = oracles_of_both(concept.text)
    subjects: Known = {
        **{name: partial(edited_by, name) for name in METHODS},
        **known_of(concept.text),
    }
    model, audits = tp.load(), dict[str, Audited]()
    audit = tp.audit.Audit(
        [tp.attack.CCE(init="style") if concept.kind == "style" else tp.attack.CCE(), tp.attack.RandomPrefix()],
        options.pictures,
        trial=Trial(steps=options.steps),
        others=min(options.pictures, OTHER_PICTURES),
    )
    given: dict[str, Any] = {
        **{"original": model, "judge": EmojiJudge(), "never": tp.attack.unseen("mushroom")},
        **{arm: tp.load(name) for arm, name in oracles.items()},
        "cache": options.keep / "parts",
    }
    for name in options.only or subjects:
        audits[name] = audit(subjects[name](model, concept), concept, **given)
        audits[name].write(keep / name.replace(" ", "-").replace('"', "").replace("'", ""))
        print(f"{concept.text}, {name}: {audits[name].summary()}", file=sys.stderr, flush=True)
    if len(audits) > 1:
        Comparison(audits).write(keep)
    return audits


def main() -> None:
    """Audit, and put the tables into the page."""
    parser = page_parser(__doc__, "audits")
    parser.add_argument("--concept", action="append", default=[], help=f"{CHURCH} by default; several have one table")
    parser.add_argument("--only", action="append", default=[], help="a row alone, by its name; give it again for more")
    parser.add_argument("--pictures", type=int, default=100, help="of each arm, by name and by each attack")
    parser.add_argument("--steps", type=int, default=10, help="of a picture")
    options = parsed(parser)
    concepts = [world_concept(name) for name in options.concept or [CHURCH]]
    if len(concepts) > 1:
        numbers = {
            each.text: {name: one.numbers() for name, one in audits_of(each, options, options.keep / each.text).items()}
            for each in concepts
        }
        fill(options.docs / "audit.md", {"audits-of-several": table_of_several(numbers)})
        return
    audits = audits_of(concepts[0], options, options.keep)
    rows = {
        "audits": {name: each.numbers() for name, each in audits.items() if name in METHODS},
        "known": {name: each.numbers() for name, each in audits.items() if name not in METHODS},
    }
    of = "" if concepts[0].text == CHURCH else f"-{concepts[0].text}"
    fill(options.docs / "audit.md", {f"{mark}{of}": table(each) for mark, each in rows.items() if each})


if __name__ == "__main__":
    main()
