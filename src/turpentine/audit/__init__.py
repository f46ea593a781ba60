"""Audits: is a concept really gone from an edited model, or only hard to reach? See `verdict` for the rules.

audited = tp.audit.Audit([tp.attack.CCE()])(edited, "church", original=model, judge=judge, oracle=oracle)
"""

from typing import TYPE_CHECKING

from turpentine.core.lazy import lazy_exports

if TYPE_CHECKING:
    from turpentine.audit.audit import Audit as Audit
    from turpentine.audit.audited import Audited as Audited
    from turpentine.audit.calibration import Calibration as Calibration
    from turpentine.audit.calibration import read_calibration as read_calibration
    from turpentine.audit.comparison import Comparison as Comparison
    from turpentine.audit.damage import Damage as Damage
    from turpentine.audit.deep import depth as depth
    from turpentine.audit.deep import depth_score as depth_score
    from turpentine.audit.deep import fade as fade
    from turpentine.audit.evidence import Arms as Arms
    from turpentine.audit.held_out import beside_prompts as beside_prompts
    from turpentine.audit.held_out import held_out_prompts as held_out_prompts
    from turpentine.audit.plan import AuditPlan as AuditPlan
    from turpentine.audit.plan import plan_audit as plan_audit
    from turpentine.audit.verdict import Rules as Rules
    from turpentine.audit.verdict import Ruling as Ruling
    from turpentine.audit.verdict import ruling as ruling
    from turpentine.stats.equivalence import Outcomes as Outcomes
    from turpentine.stats.prevalence import JudgeError as JudgeError

__getattr__, __dir__ = lazy_exports(__name__)
