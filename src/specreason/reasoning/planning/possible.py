"""The plans that the settings allow."""

from itertools import product

from specreason.config import ReasoningSettings
from specreason.extensions import extensions
from specreason.reasoning.planning.plan import Plan
from specreason.reasoning.repairs.rewrite import Rewrite
from specreason.reasoning.schedules.sequential import Sequential


def plan_of(settings: ReasoningSettings, *, in_process: bool) -> Plan:
    """The plan that the settings ask for. `in_process`: the small model works on this process's cores."""
    name = settings.schedule
    if name == "auto":
        name = "lookahead" if settings.lookahead else "sequential"
    schedule = extensions("schedules")[name].make(settings, in_process)
    return Plan("small", schedule, extensions("repairs")[settings.on_reject], settings.drafts_per_step)


def possible_plans(settings: ReasoningSettings, *, in_process: bool) -> list[Plan]:
    """All plans that ask for no more than the settings do, the plainest first."""
    found: dict[Plan, None] = {}
    for drafts in range(1, settings.drafts_per_step + 1):
        most = plan_of(settings.model_copy(update={"drafts_per_step": drafts}), in_process=in_process)
        repairs = [Rewrite(), most.repair] if most.repair.beside else [most.repair]
        for schedule, repair in product((Sequential(), most.schedule), repairs):
            found[Plan("small", schedule, repair, drafts)] = None
    return sorted(found, key=lambda plan: (plan.schedule.depth, plan.drafts, plan.repair.beside))
