"""What comes out of an audit: the verdict, its reasons, all numbers, a plot, a file for machines and a card."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from PIL import Image

from turpentine.attack.attacked import sheet
from turpentine.attack.controls import EDITED, NEVER, ORIGINAL, Battery
from turpentine.audit.budget_curve import recovery_curve
from turpentine.audit.damage import Damage
from turpentine.audit.deep import ModuleDepth, depth_score
from turpentine.audit.evidence import AttackEvidence
from turpentine.audit.not_tried import not_tried
from turpentine.audit.verdict import Ruling
from turpentine.core.atomic_files import write_text_whole
from turpentine.core.finding import TableFinding
from turpentine.core.formatting import percent
from turpentine.core.hashing import digest
from turpentine.core.markdown import escaped, markdown_table
from turpentine.stats.prevalence import JudgeError, corrected_rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECORD, CARD, TABLE = "audit.json", "card.md", "audit.parquet"
GONE, OTHERWISE = 0, 3
"""Exit codes of the command."""


@dataclass(frozen=True, eq=False)
class Audited(TableFinding):
    """The outcome of an audit.

    Args:
        table: A row for each attack (also "no attack", and each group of prompts that show it otherwise), arm and
            judge: `attack`, `arm`, `judge`, `hits`, `n`, `rate`, `low`, `high`.
        title: The concept and the model.
        ruling: The verdict, and why.
        protocol: What decides the numbers.
        deep: FADE in both directions, and Δ of each module; empty without an oracle.
        leak: What the edit's file gives away by itself; empty for what is no single edit.
        batteries: Of the edited model and the oracles ("oracle", "oracle 2"), with artefacts and pictures.
        judge_error: How often the judge is right.
        damage: What else broke.
        second: The verdict by the second judge; None without one.
    """

    table: pl.DataFrame
    title: str
    ruling: Ruling
    protocol: Mapping[str, Any]
    deep: Mapping[str, Any]
    leak: Mapping[str, Any]
    batteries: Mapping[str, Battery]
    judge_error: JudgeError | None = None
    damage: Damage | None = None
    second: Ruling | None = None

    @property
    def verdict(self) -> str:
        """One of seven words; see `turpentine.audit.verdict`."""
        return self.ruling.verdict

    @property
    def exit_code(self) -> int:
        """0 for gone, 3 otherwise."""
        return GONE if self.verdict == "gone" else OTHERWISE

    @property
    def depth(self) -> float | None:
        """The depth score, 0 to 1; None without an oracle."""
        return depth_score([ModuleDepth(**each) for each in self.deep.get("modules", ())])

    @property
    def judges(self) -> list[str]:
        """The judge of the verdict, and the second one if there is one, by name."""
        names: list[str] = self.table["judge"].unique(maintain_order=True).to_list()
        return names

    @property
    def not_tried(self) -> str:
        """What this audit did not try, in sentences; see `turpentine.audit.not_tried`."""
        return not_tried(self.protocol)

    @property
    def strongest(self) -> AttackEvidence:
        """What the tests say of the attack that brings most out of the edited model."""
        return max(self.ruling.evidence[1:], key=lambda each: each.arms.edited.rate)

    def plot(self) -> Figure:
        """Plot R of each attack: what it recovers above the reference, in units of what the original has above it."""
        from matplotlib.figure import Figure

        rows = [(each.arms.attack, each.arms.recovery) for each in self.ruling.evidence]
        figure = Figure(figsize=(6, 1.2 + 0.35 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for place, (_, share) in enumerate(rows):
            if share is not None:
                reach = [[max(0.0, share.value - share.low)], [max(0.0, share.high - share.value)]]
                axes.errorbar([share.value], [place], xerr=reach, fmt="o", color="C0")
        axes.axvline(0, color="gray", linewidth=0.8)
        axes.axvline(1, color="gray", linewidth=0.8, linestyle=":")
        axes.set(
            title=f"{self.title}: {self.verdict}", xlabel="excess recovery R: 0 as the reference, 1 as the original"
        )
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.invert_yaxis()
        return figure

    def summary(self) -> str:
        """Say the verdict, and why."""
        return f"{self.title}: {self.verdict}. {' '.join(self.ruling.reasons)}"

    def numbers(self) -> dict[str, Any]:
        """Return everything, as JSON has it."""
        protocol = json.loads(json.dumps(self.protocol, default=str))
        return {
            "title": self.title,
            **self.ruling.numbers(),
            "exit_code": self.exit_code,
            "rates": self._rates(self.judges[0]),
            "corrected": self.corrected(),
            "second": self._second_numbers(),
            "damage": self.damage and self.damage.numbers(),
            "fade": {name: each for name, each in self.deep.items() if name != "modules"},
            "depth": {"score": self.depth, "modules": self.deep.get("modules", [])},
            "leak": dict(self.leak),
            "curves": self._curves(),
            "recovery_by_budget": {name: each.to_dicts() for name, each in self.recovery_curves().items()},
            "protocol": protocol,
            "protocol_sha256": digest(protocol),
            "not_tried": self.not_tried,
        }

    def images_to_save(self) -> Mapping[str, Image.Image]:
        """Return a sheet of the strongest attack's pictures for each arm, of the same seeds."""
        strongest = self.strongest.arms.attack
        sheets = {
            f"{name}.png": sheet(each.outcomes[strongest, EDITED].pictures) for name, each in self.batteries.items()
        }
        return {**sheets, "original.png": sheet(self.batteries["edited"].outcomes[strongest, ORIGINAL].pictures)}

    def card(self) -> str:
        """Return what belongs on a model's page, as Markdown."""
        rates = [
            (escaped(row["attack"]), escaped(row["arm"]), _share(row["rate"], row["low"], row["high"]), str(row["n"]))
            for row in self.table.filter(pl.col("judge") == self.judges[0]).rows(named=True)
        ]
        parts = [
            f"# Is {escaped(self.protocol['concept']['text'])} gone? {self.verdict.capitalize()}",
            *(escaped(reason) for reason in self.ruling.reasons),
            markdown_table(("attack", "arm", "shows it (95 %)", "pictures"), rates),
            *([self.second_sentence()] if self.second_sentence() else []),
            *([self._damage_table()] if self.damage else []),
            *self._deep_lines(),
            escaped(self.not_tried),
            f"Protocol {self.numbers()['protocol_sha256'][:16]}; all numbers are in {RECORD}.",
        ]
        return "\n\n".join(parts) + "\n"

    def write(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write `audit.json`, the card, the table and the pictures, each whole or not at all, and return their paths.

        Args:
            folder: Where; made if it is not there.

        Raises:
            OSError: As the file system does.
        """
        folder = Path(folder)
        texts = [self.save_numbers(folder / RECORD), write_text_whole(folder / CARD, self.card())]
        self.save(folder / TABLE)
        return [*texts, folder / TABLE, *self.save_images(folder)]

    def second_sentence(self) -> str:
        """Say what the verdict would be by the second judge; "" without one."""
        if len(self.judges) < 2:
            return ""
        name = self.judges[1]
        if self.second is None:
            return f"The second judge, {name}, does not see the concept in the original's pictures."
        agrees = "also says" if self.second.verdict == self.verdict else "says otherwise:"
        return f"The second judge, {name}, {agrees} {self.second.verdict}."

    def _rates(self, judge: str) -> list[dict[str, Any]]:
        return self.table.filter(pl.col("judge") == judge).to_dicts()

    def _second_numbers(self) -> dict[str, Any] | None:
        """Return the second judge's rates, and the verdict by them, None where it does not see the concept at all."""
        if len(self.judges) < 2:
            return None
        numbers = self.second.numbers() if self.second else {"verdict": None}
        return {"judge": self.judges[1], "rates": self._rates(self.judges[1]), **numbers}

    def _damage_table(self) -> str:
        assert self.damage is not None
        rows = [
            (
                escaped(row["measure"]),
                f"{row['original']:.3g}",
                f"{row['edited']:.3g}",
                f"{row['change']:+.3g} ({row['low']:+.3g} to {row['high']:+.3g})",
                row["whole"] or "",
            )
            for row in self.damage.table.rows(named=True)
        ]
        return markdown_table(("what else broke", "original", "edited", "change (95 %)", "within 3 points"), rows)

    def corrected(self) -> list[dict[str, Any]]:
        """Return the rates behind those that the judge sees, where it is known how often it is right."""
        if self.judge_error is None:
            return []
        return [
            {"attack": each.arms.attack, "arm": arm, **corrected_rate(outcomes, self.judge_error)._asdict()}
            for each in self.ruling.evidence
            for arm, outcomes in each.arms.outcomes().items()
            if arm != "never"  # which another judge looks at
        ]

    def recovery_curves(self) -> dict[str, pl.DataFrame]:
        """Return R by what each attack had spent; see `budget_curve.recovery_curve`."""
        curves, own = {}, self.batteries["edited"].outcomes
        for attack in [each.arms.attack for each in self.ruling.evidence[1:]]:
            oracles = [each.outcomes[attack, EDITED].table for name, each in self.batteries.items() if is_oracle(name)]
            references = oracles or [own[attack, NEVER].table]
            curves[attack] = recovery_curve(own[attack, EDITED].table, references, own[attack, ORIGINAL].table)
        return curves

    def _curves(self) -> dict[str, list[dict[str, Any]]]:
        """Return success against budget of each attack, in the edited model and the oracles."""
        return {
            f"{attack}, {name}": outcome.table.to_dicts()
            for name, each in self.batteries.items()
            for (attack, arm), outcome in each.outcomes.items()
            if arm == EDITED
        }

    def _deep_lines(self) -> list[str]:
        if not self.deep:
            return []
        fades = [f"{name} {each['value']:.4f}" for name, each in self.deep.items() if name != "modules"]
        score = "none" if self.depth is None else f"{self.depth:.2f}"
        return [f"FADE: {'; '.join(fades)}. Depth score: {score} (1 as the oracle, 0 as the original)."]


def is_oracle(name: str) -> bool:
    """Return whether a battery is of an oracle that never saw the concept.

    Example:
        >>> is_oracle("oracle"), is_oracle("oracle 2"), is_oracle("unnamed")
        (True, True, False)
    """
    return name.split()[0] == "oracle"


def _share(value: float, low: float, high: float) -> str:
    return f"{percent(value)} ({percent(low)} to {percent(high)})"
