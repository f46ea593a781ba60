"""What `turpentine attack` prints: the attacks that there are, and what a battery came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from turpentine.cli.terminal import plain, say, say_json, say_prose, show_table
from turpentine.core.formatting import with_span
from turpentine.core.plugins import plugins

if TYPE_CHECKING:
    from turpentine.attack.controls import Battery
    from turpentine.attack.leak import Leak


def numbers_of(battery: Battery) -> dict[str, Any]:
    """Return the numbers of each attack on the edited model, as JSON has them."""
    from turpentine.attack.controls import EDITED

    return {
        name: {**outcome.numbers(), "has_power": battery.has_power(name)}
        for (name, arm), outcome in battery.outcomes.items()
        if arm == EDITED
    }


def print_battery(battery: Battery, leak: Leak | None) -> None:
    """Print a battery, and what the file of the edit gives away by itself."""
    from turpentine.attack.controls import EDITED

    for (_, arm), outcome in battery.outcomes.items():
        if arm == EDITED:
            say_prose(f"{plain(outcome.summary())}\n")
    arms = battery.table["arm"].unique(maintain_order=True).to_list()
    rows = []
    for name in battery.table["attack"].unique(maintain_order=True):
        rates = [battery.rate(name, arm) for arm in arms]
        power = {True: "yes", False: "no power here", None: ""}[battery.has_power(name)]
        rows.append([name, *(with_span(rate) if rate else "" for rate in rates), "" if name == "no attack" else power])
    show_table(["attack", *(f"{arm}, %" for arm in arms), "power"], rows)
    say()
    if leak:
        say_prose(f"{plain(leak.summary())}\n")


def print_attacks(json: bool) -> None:
    """Print the attacks that there are, as a table or as JSON."""
    entries = []
    for plugin in plugins("attack").values():
        cls = plugin.load()
        needs = ", ".join(sorted(getattr(cls, "needs", ())))
        entries.append(
            {"name": plugin.name, "what": plugin.headline, "needs": needs, "default": getattr(cls, "free", False)}
        )
    if json:
        say_json({"attacks": entries})
        return
    show_table(
        ["attack", "what it does", "needs", "by default"],
        [[each["name"], each["what"], each["needs"], "yes" if each["default"] else ""] for each in entries],
    )
