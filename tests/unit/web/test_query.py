"""Query parameters."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from web.api.pages import read_page, wrap_page
from web.api.query import QueryReader
from web.errors import Invalid


def test_absent_parameters_are_their_defaults_and_unknown_ones_nobodys_business() -> None:
    with QueryReader({"color": "red"}) as query:
        assert query.whole("page", 1, low=1, high=9) == 1
        assert query.flag("envelope", True) is True
        assert query.word("status", ["ACTIVE"]) is None
        assert query.uuid("jobId") is None
        assert query.since("fromDate") is None
        assert query.text("search") is None


def test_good_values_are_read() -> None:
    values = {
        "page": "7",
        "envelope": "FALSE",
        "status": "active",
        "jobId": "6F9619FF-8B86-D011-B42D-00C04FC964FF",
        "fromDate": "2026-01-20",
        "toDate": "2026-01-20",
        "at": "2026-01-20T10:00:00+01:00",
        "search": "x",
    }
    with QueryReader(values) as query:
        assert query.whole("page", 1, low=1, high=9) == 7
        assert query.flag("envelope", True) is False
        assert query.word("status", ["ACTIVE"]) == "ACTIVE"
        assert query.uuid("jobId") == UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")
        assert query.since("fromDate") == datetime(2026, 1, 20, tzinfo=UTC)
        assert query.until("toDate") == datetime(2026, 1, 21, tzinfo=UTC)
        assert query.moment("at") == datetime(2026, 1, 20, 9, tzinfo=UTC)
        assert query.text("search") == "x"


def test_all_bad_values_are_refused_together() -> None:
    values = dict.fromkeys(("page", "envelope", "status", "jobId", "fromDate"), "x" * 300)
    query = QueryReader(values | {"search": "x" * 300})
    query.whole("page", 1, low=1, high=9)
    query.flag("envelope", True)
    query.word("status", ["ACTIVE"])
    query.uuid("jobId")
    query.since("fromDate")
    query.text("search")
    with pytest.raises(Invalid) as refused:
        query.__exit__(None, None, None)
    assert [problem.field for problem in refused.value.problems] == [*values, "search"]


@pytest.mark.parametrize(
    "text", ["0", "101", "-1", "", "1.0", "1_0", "\u0661", " 1", "1e1", "1000000000", "9" * 400]
)
def test_a_limit_is_a_plain_number_within_bounds(text: str) -> None:
    with pytest.raises(Invalid) as refused, QueryReader({"limit": text}) as query:
        read_page(query)
    assert refused.value.problems[0].message == "Must be a whole number from 1 to 100"


def test_an_error_inside_the_block_is_not_replaced() -> None:
    query = QueryReader({"limit": "x"})
    read_page(query)
    error = KeyError("mine")
    query.__exit__(KeyError, error, None)
    assert query.problems


@pytest.mark.parametrize(("total", "pages"), [(0, 0), (1, 1), (10, 1), (11, 2)])
def test_the_envelope_counts_its_pages(total: int, pages: int) -> None:
    with QueryReader({}) as query:
        page = read_page(query, limit=10)
    assert wrap_page("jobs", ["x"], page, total=total) == {
        "jobs": ["x"],
        "pagination": {"page": 1, "limit": 10, "total": total, "totalPages": pages},
        "total": total,
        "page": 1,
        "limit": 10,
    }
