"""Where cronsim and we agree by definition, we give the same fire times.

Left out, because the two differ on purpose: six fields (cronsim then follows other rules), a
step of a star beside the other day field (cronsim reads it as "and"), wrapped ranges, `?`, `W`,
steps from one number in the weekday field, and starts inside the second pass of an overlap.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jobs.timing import fire_times
from tests.property.timing_reference import MOMENTS

# A wildcard of cronsim errs at gaps that begin at midnight, are no whole hour, or a whole day.
AGREED = [
    (zone, change)
    for zone, change in MOMENTS
    if change.year > 2011
    and zone not in ("Asia/Kathmandu", "Asia/Pyongyang", "Australia/Lord_Howe")
    and (change - timedelta(minutes=1)).astimezone(ZoneInfo(zone)).hour != 23
]


def plain_field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    stretch = st.tuples(number, number).filter(lambda ends: ends[0] < ends[1]).map("{0[0]}-{0[1]}".format)
    stepped = st.tuples(stretch, st.integers(1, 9)).map("{0[0]}/{0[1]}".format)
    lists = st.lists(st.one_of(number.map(str), stretch, stepped), min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), st.integers(2, high).map("*/{}".format), lists)


@st.composite
def shared_expressions(draw: st.DrawFn) -> str:
    minute, hour, month = draw(plain_field(0, 59)), draw(plain_field(0, 23)), draw(plain_field(1, 12))
    monthday = draw(st.one_of(plain_field(1, 31), st.just("L")))
    weekday = draw(st.one_of(plain_field(0, 6), st.sampled_from(["5L", "1#2", "3#5", "0L"])))
    if monthday != "*" and weekday != "*":
        assume(not monthday.startswith("*") and not weekday.startswith("*"))
    return f"{minute} {hour} {monthday} {month} {weekday}"


@settings(max_examples=400, deadline=None)
@given(expression=shared_expressions(), moment=st.sampled_from(AGREED), hours=st.integers(4, 40))
def test_we_give_the_fire_times_of_cronsim(expression: str, moment: tuple[str, datetime], hours: int) -> None:
    zone, change = moment
    start = change - timedelta(hours=hours)
    try:
        simulated = list(islice(CronSim(expression, start.astimezone(ZoneInfo(zone))), 12))
    except CronSimError:
        assume(False)
    assume(simulated)
    expected = [at.astimezone(UTC) for at in simulated]
    assert list(islice(fire_times(expression, zone, start), len(expected))) == expected
