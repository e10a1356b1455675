"""A schedule: one step ahead, whatever `reasoning.lookahead` says."""

from specreason.reasoning.schedules.contract import ScheduleSpec
from specreason.reasoning.schedules.lookahead import Lookahead

SCHEDULE = ScheduleSpec("one_ahead", lambda settings, in_process: Lookahead(1))
