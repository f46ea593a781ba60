"""Does editing work better where a trace points? CAD and UCE, one module at a time, into docs/tracing.md.

    python benchmarks/agreement.py
    python benchmarks/agreement.py --objects church --modules UP6 UP7 UP8 UP9 --seeds 1 --docs /tmp/pages

The trace is that of `turpentine explain tracing --seeds 0-2 --only trace-denoiser-object`. An edit achieves the share
of the object's own pictures that lose it, less that of the others' that lose theirs; the mean over objects is held
against the trace. A run that was killed goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl
import torch
from pages import fill, page_parser, parsed
from torch import Tensor

import turpentine as tp
from turpentine.concepts import with_article
from turpentine.core.markdown import markdown_table
from turpentine.core.parts import Parts
from turpentine.edits import Edit, Provenance
from turpentine.emoji.world import TEN
from turpentine.erase._pruning import zero_largest
from turpentine.erase.cad import CAD
from turpentine.erase.uce import UCE
from turpentine.explain._subjects import captions
from turpentine.explain.agreement import Agreement
from turpentine.explain.trace import Trace, TraceFinding
from turpentine.judges import EmojiJudge
from turpentine.judges.base import hits
from turpentine.models import Site
from turpentine.models.identity import describe
from turpentine.models.site_table import short_names

STEPS, SHARE = 10, 0.02
"""Of a picture; of a module's weights that CAD zeroes."""


class Edits:
    """Edits of one module each, and what they achieve."""

    def __init__(self, keep: Path) -> None:
        self.model, self.judge, self.keep = tp.load(dtype=torch.float32), EmojiJudge(), keep

    def trace(self, seeds: int) -> TraceFinding:
        """The trace of the ten objects in two captions each."""
        of = [subject for subject in captions() for _ in range(seeds)]
        objects, numbers = [subject.concept for subject in of], list(range(seeds)) * (len(of) // seeds)
        about = {"concept": objects, "label": objects, "judge": self.judge, "cache": self.keep}
        return Trace("denoiser", "object", steps=STEPS)(self.model, [each.prompt for each in of], numbers, **about)

    def rows(self, sites: list[Site], objects: list[str]) -> pl.DataFrame:
        """A row for each edit of each site: edit, site, measured (the mean over the objects)."""
        rows = []
        for obj in objects:
            concept = tp.Concept(obj)
            alpha = CAD.preset(self.model, sites="all", trials=0).attribution(self.model, concept).alpha
            for site in sites:
                edits = {"CAD, 2 % of the module's weights": zeroing(site, alpha)}
                if site.kind == "cross-attention":
                    uce = UCE.preset(self.model, sites=site.label)
                    edits["UCE, the module's keys and values"] = uce(self.model, concept)
                for name, edit in edits.items():
                    with edit.on(self.model):
                        rows.append((name, site.name, self.achieved(obj)))
            print(f"edits: {obj}", file=sys.stderr, flush=True)
        table = pl.DataFrame(rows, ["edit", "site", "measured"], orient="row")
        return table.group_by("edit", "site", maintain_order=True).agg(pl.col("measured").mean())

    def achieved(self, obj: str) -> float:
        """The share of an object's pictures that lost it, less that of the other nine, under the edit that is on."""
        objects = [obj] * 4 + [other for other in TEN if other != obj]
        prompts, seeds = [with_article(each) for each in objects], [100, 101, 102, 103, *range(100, 109)]

        def draw() -> dict[str, Tensor]:
            images = self.model.generate(prompts, seeds=seeds, steps=STEPS, batch_size=len(prompts))
            return {"lost": ~torch.tensor(hits(self.judge, "object", images, objects))}

        about = [describe(self.model), self.judge.name, self.judge.revision]
        lost = Parts(self.keep, about).part([prompts, seeds, STEPS, "object"], draw)["lost"]
        return float(lost[:4].double().mean() - lost[4:].double().mean())


def zeroing(site: Site, alpha: Mapping[str, Tensor]) -> Edit:
    """A share of the module's weights, those with the largest α, set to 0."""
    own = {name: alpha[name] for name in site.parameters if name in alpha}
    return Edit(provenance=Provenance("CAD", {}, ()), zeroed=zero_largest(own, SHARE))


def table_of(trace: TraceFinding, every: pl.DataFrame, docs: Path) -> str:
    """How each edit's ranks agree with the trace's, over all modules and by kind; and their plots."""
    names, lines = short_names(trace.table), []
    for (name,), part in every.group_by("edit", maintain_order=True):
        measured = part.select("site", "measured")
        kinds = [None, *dict.fromkeys(site.kind for site in trace.everything.named(measured["site"].to_list()))]
        kinds = kinds if len(kinds) > 2 else kinds[1:]
        for kind in kinds:
            some = trace if kind is None else replace(trace, table=trace.table.filter(pl.col("kind") == kind))
            agreed = Agreement()(some, measured)
            if kind == kinds[0]:
                agreed.plot().savefig(docs / f"tracing-agreement-{str(name)[:3].lower()}.png", dpi=110)
            best = agreed.table.sort("measured", descending=True).row(0, named=True)
            rho = f"{agreed.rho:.2f} ({agreed.low:.2f} to {agreed.high:.2f})"
            p = f"{agreed.p:.3f}" if agreed.p >= 0.001 else "< 0.001"
            most = f"{best['kind']} {names[best['site']]}: {100 * best['measured']:.0f}"
            lines.append([str(name), kind or "all", str(len(agreed.table)), rho, p, most])
    return markdown_table(["edit", "modules", "of them", "ρ", "p", "achieves most, points"], lines)


def main() -> None:
    parser = page_parser(__doc__, keep="agreement")
    parser.add_argument("--objects", nargs="+", default=list(TEN[:5]))
    parser.add_argument("--modules", nargs="+", default=[], help="labels; all modules by default")
    parser.add_argument("--seeds", type=int, default=3, help="of the trace, for each of its prompts")
    args = parsed(parser)
    edits = Edits(args.keep)
    trace = edits.trace(args.seeds)
    sites = [
        site
        for site in trace.everything.named(trace.table["site"].to_list())
        if not args.modules or site.label in args.modules
    ]
    fill(args.docs / "tracing.md", {"agreement": table_of(trace, edits.rows(sites, args.objects), args.docs)})


if __name__ == "__main__":
    main()
