"""Every attack under its class's name, and the harness that all run in: `tp.attack.CCE()(victim, "church", ...)`."""

from typing import TYPE_CHECKING

from turpentine.core.lazy import plugin_exports

if TYPE_CHECKING:
    from turpentine.attack._stages import SearchStage as SearchStage
    from turpentine.attack.attacked import Attacked as Attacked
    from turpentine.attack.budget import Budget as Budget
    from turpentine.attack.budget import ConceptJudge as ConceptJudge
    from turpentine.attack.budget import Spent as Spent
    from turpentine.attack.controls import Battery as Battery
    from turpentine.attack.controls import Controls as Controls
    from turpentine.attack.controls import battery as battery
    from turpentine.attack.controls import swapped_word as swapped_word
    from turpentine.attack.controls import unseen as unseen
    from turpentine.attack.harness import Attack as Attack
    from turpentine.attack.leak import Leak as Leak
    from turpentine.attack.leak import leak_of as leak_of
    from turpentine.attack.search import Search as Search
    from turpentine.attack.trial import Trial as Trial
    from turpentine.attack.victim import Victim as Victim

__getattr__, __dir__ = plugin_exports(__name__, "attack")
