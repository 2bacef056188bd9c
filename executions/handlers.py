"""The handlers that need nothing but the engine: `default`."""

from __future__ import annotations

from jobs.contract import PermanentError, Result, Run
from jobs.registry import handler

MAX_WAIT_MS = 60_000


@handler("default")
def wait(run: Run) -> Result:
    """Waits `duration` ms (at most 60000) and succeeds, or fails when `shouldFail` is true."""
    duration = run.params.get("duration", 0)
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        raise PermanentError("payload.duration must be a number of milliseconds")
    if duration > 0:
        run.stop.wait(min(duration, MAX_WAIT_MS) / 1000)
        run.check_stop()
    if run.params.get("shouldFail") is True:
        raise RuntimeError("Simulated job failure for testing")
    return Result(
        data={
            "jobId": str(run.job.id),
            "executedAt": run.scheduled_at.isoformat(),
            "message": f"Job {run.job.name} completed successfully",
            "payload": dict(run.params),
        }
    )
