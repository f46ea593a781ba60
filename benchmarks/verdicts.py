"""How often is each verdict of an audit right, and which comes in its place? Simulated audits whose truth is set.

    python benchmarks/verdicts.py                  # minutes on one core
    python benchmarks/verdicts.py --runs 5 --docs /tmp/pages

Two attacks each, one of which opens what only hides, and six truths; see `turpentine.testing.simulated_audits`. Audits
of fewer pictures than a claim that there is nothing takes are quick ones, as `Audit` has it. Goes into docs/audit.md.
"""

from __future__ import annotations

from collections import Counter

from pages import fill, page_parser, parsed

from turpentine.core.markdown import markdown_table
from turpentine.testing.simulated_audits import BLIND, TRUTHS, verdicts

SIZES, RUNS = (100, 342, 411), 100
WITHOUT_POWER = "gone, but no attack has power"


def shares(found: Counter[str]) -> str:
    """The verdicts in percent, the most frequent first: `hidden 60, inconclusive 40`."""
    return ", ".join(f"{name} {round(100 * count / found.total())}" for name, count in found.most_common())


def table(runs: int) -> str:
    """A row for each truth, a column for each number of pictures an arm."""
    truths = {**TRUTHS, WITHOUT_POWER: BLIND}
    rows = [(truth, *(shares(verdicts(rates, size, runs)) for size in SIZES)) for truth, rates in truths.items()]
    return markdown_table(("truth", *map(str, SIZES)), rows)


def main() -> None:
    """Simulate, and put the table into the page."""
    parser = page_parser(__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="audits of each truth and size")
    options = parsed(parser)
    fill(options.docs / "audit.md", {"verdicts": table(options.runs)})


if __name__ == "__main__":
    main()
