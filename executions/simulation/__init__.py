"""What would happen: the real planner, limits and retries on a virtual clock. Nothing is stored."""

from executions.simulation.report import Report
from executions.simulation.world import SimJob, Situation, simulate

__all__ = ["Report", "SimJob", "Situation", "simulate"]
