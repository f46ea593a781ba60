"""What every plug-in promises, as pytest classes: subclass one, say how the plug-in is made, and run pytest."""

from typing import TYPE_CHECKING

from turpentine.core.lazy import lazy_exports

if TYPE_CHECKING:
    from turpentine.testing.contracts.attack import AttackContract
    from turpentine.testing.contracts.instrument import InstrumentContract
    from turpentine.testing.contracts.judge import JudgeContract
    from turpentine.testing.contracts.method import MethodContract, make

__all__ = ["AttackContract", "InstrumentContract", "JudgeContract", "MethodContract", "make"]

__getattr__, __dir__ = lazy_exports(__name__)
