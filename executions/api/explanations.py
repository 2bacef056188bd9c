"""Why did it not run? The ledger, told for one job."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from executions import ledger
from executions.api.executions import find_job
from executions.api.serializers import ExplanationSerializer
from executions.engine import clock
from executions.ledger import Answer
from web.api.query import QueryReader, day_parameter, moment_parameter
from web.api.views import ApiView


class ExplanationView(ApiView):
    noun = "Job"

    @extend_schema(
        responses=ExplanationSerializer,
        parameters=[
            moment_parameter("at", "This fire time, or those around it"),
            day_parameter("from", "Fire times from; a day before `to` without it"),
            day_parameter("to", "Fire times to, included; now without it"),
        ],
    )
    def get(self, request: Request, **address: Any) -> Response:
        """For every fire time that the job's schedule of that moment names: what became of it."""
        with QueryReader(request.query_params) as query:
            at, start, end = query.moment("at"), query.since("from"), query.until("to")
            if start and end and end < start:
                query.refuse("to", "Must not lie before from")
        job, now = find_job(request.user, self.kwargs["id"]), clock.now()
        if at:
            found = ledger.explain_at(job, at, now=now)
        else:
            found = ledger.explain_between(job, start, end, now=now)
        return Response({"occurrences": [show_answer(one) for one in found.answers], "next": found.next})


def show_answer(answer: Answer) -> dict[str, Any]:
    """What became of one fire time, as the route answers it."""
    return {
        "scheduledAt": answer.scheduled_at,
        "outcome": answer.outcome,
        "reason": answer.reason,
        "executionId": answer.execution_id,
        "detail": answer.detail,
    }
