"""What people are told: previews, descriptions, warnings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs.timing import Calendar, Preview, Schedule, describe, preview, warnings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def noted(expression: str, after: datetime, count: int) -> list[tuple[str, str]]:
    schedule = Schedule(expression=expression, zone="Europe/Berlin")
    return [
        (each.local.isoformat(timespec="minutes")[8:], each.note) for each in preview(schedule, after, count)
    ]


def test_a_preview_shows_the_local_time_with_its_offset() -> None:
    (first,) = preview(Schedule(expression="0 9 * * *", zone="Asia/Kathmandu"), NOW, 1)
    assert first == Preview(
        at=datetime(2026, 1, 1, 3, 15, tzinfo=UTC), local=first.local, closed=False, note=""
    )
    assert first.local.isoformat() == "2026-01-01T09:00:00+05:45"


def test_a_preview_ends_with_the_schedule() -> None:
    schedule = Schedule(kind="one_time", anchor=NOW + timedelta(days=1))
    assert len(preview(schedule, NOW, 10)) == 1
    assert preview(schedule, NOW, 0) == []


def test_a_moved_fire_time_is_marked() -> None:
    found = noted("30 2 * * *", datetime(2026, 3, 27, 12, tzinfo=UTC), 3)
    assert found[0] == ("28T02:30+01:00", "")
    assert found[1] == (
        "29T03:00+02:00",
        "moved by a clock change: 02:30 does not exist (02:00 to 03:00 is skipped)",
    )
    assert found[2] == ("30T02:30+02:00", "")


def test_dropped_fire_times_are_mentioned_on_the_next_one() -> None:
    found = noted("*/20 2 * * *", datetime(2026, 3, 28, 1, 30, tzinfo=UTC), 3)
    assert found[0] == ("28T02:40+01:00", "")
    assert found[1][0] == "30T02:00+02:00"
    assert found[1][1].startswith(
        "3 fire times before it dropped by a clock change (02:00 to 03:00 on 2026-03-29"
    )
    assert found[2] == ("30T02:20+02:00", "")


def test_doubled_fire_times_are_marked_in_both_passes() -> None:
    found = noted("30 * * * *", datetime(2026, 10, 24, 23, tzinfo=UTC), 4)
    assert [note for _, note in found] == [
        "",
        "doubled by a clock change: 02:30 for the first of two times",
        "doubled by a clock change: 02:30 for the second time",
        "",
    ]


def test_a_fixed_time_in_an_overlap_says_that_it_runs_once() -> None:
    found = noted("30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=UTC), 2)
    assert found[0] == ("25T02:30+02:00", "02:30 comes twice by a clock change: runs the first time only")
    assert found[1][1] == ""


def test_an_hourly_job_drops_nothing_in_a_gap() -> None:
    schedule = Schedule(kind="recurring", pattern="hourly", anchor=NOW, zone="Europe/Berlin")
    found = preview(schedule, datetime(2026, 3, 28, 23, 30, tzinfo=UTC), 5)
    assert [each.note for each in found] == [""] * 5


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 9 * * MON-FRI", "At 09:00, Monday through Friday (UTC)"),
        ("@daily", "At 00:00 (UTC)"),
        ("*/5 * * * *", "Every 5 minutes (UTC)"),
        ("0 0 L * *", "At 00:00, on the last day of the month (UTC)"),
        ("0 0 * * FRI#L", "At 00:00, on the last Friday of the month (UTC)"),
        ("0 0 * * 1,3#2", "At 00:00, on every Monday and the second Wednesday of the month (UTC)"),
        ("0 0 L,15 * *", "At 00:00, on day 15 and the last day of the month (UTC)"),
        ("0 0 1-31 * MON", "At 00:00 (UTC)"),
        ("0 0 ? * ?", "At 00:00 (UTC)"),
        ("5-5 5-5 * * *", "At 05:05 (UTC)"),
        ("*/90 3 * * *", "At 03:00 (UTC)"),
        ("0 0 * * 1/2", "At 00:00, only on Monday, Wednesday, and Friday (UTC)"),
        ("0 0 * * 0,7", "At 00:00, only on Sunday (UTC)"),
        ("0 0 * * 0-7", "At 00:00 (UTC)"),
        (
            "31 10-15 1 * * MON-FRI",
            (
                "At 31 seconds past the minute, minutes 10 through 15 past the hour, at 01:00, "
                "Monday through Friday (UTC)"
            ),
        ),
    ],
)
def test_a_cron_schedule_in_words(expression: str, words: str) -> None:
    assert describe(Schedule(expression=expression)) == words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "one_time"}, "Once, on Saturday 2026-01-31 at 09:00 (Europe/Berlin)"),
        ({"pattern": "hourly"}, "Every hour, from 2026-01-31 on, first at 09:00 (Europe/Berlin)"),
        ({"pattern": "daily"}, "Every day at 09:00 (Europe/Berlin), from 2026-01-31 on"),
        ({"pattern": "weekly"}, "Every Saturday at 09:00 (Europe/Berlin), from 2026-01-31 on"),
        (
            {"pattern": "monthly"},
            (
                "On day 31 of every month, or on the last day of shorter months, at 09:00 (Europe/Berlin), "
                "from 2026-01-31 on"
            ),
        ),
    ],
)
def test_an_anchored_schedule_in_words(fields: dict[str, str], words: str) -> None:
    base = {"kind": "recurring", "anchor": datetime(2026, 1, 31, 8, tzinfo=UTC), "zone": "Europe/Berlin"}
    assert describe(Schedule(**{**base, **fields})) == words  # type: ignore[arg-type]


def test_window_and_calendar_are_part_of_the_words() -> None:
    schedule = Schedule(
        expression="0 9 * * *",
        start_at=NOW,
        end_at=NOW + timedelta(days=1),
        calendar=Calendar(),
        shift="next",
    )
    assert describe(schedule) == (
        "At 09:00 (UTC); not before 2026-01-01 00:00:00 UTC; not after 2026-01-02 00:00:00 UTC; "
        "on days that the calendar closes moved to the next open day"
    )


@pytest.mark.parametrize(
    ("expression", "zone", "fragments"),
    [
        ("0 9 * * MON-FRI", "Europe/Berlin", []),
        ("*/5 * * * *", "Europe/Berlin", []),
        ("0 0 * * *", "Europe/Berlin", []),
        ("0 0 1 * MON", "UTC", ["either names"]),
        ("0 0 */2 * MON", "UTC", ["*/2 counts as a restriction", "starts anew at 1"]),
        ("0 0 1 * */2", "UTC", ["*/2 counts as a restriction"]),
        ("0 0 * * 1/2", "UTC", ["ends at Saturday"]),
        ("0 0 * * MON/2", "UTC", ["ends at Saturday"]),
        ("*/7 * * * *", "UTC", ["starts anew at 0"]),
        ("*/90 * * * *", "UTC", ["it means just 0"]),
        ("0 */5 * * *", "UTC", ["starts anew at 0"]),
        ("0 0 31 * *", "UTC", ["months without a day 31"]),
        ("0 0 28,31 * *", "UTC", []),
        ("* 0 9 * * *", "UTC", ["60 times in each minute"]),
        (
            "30 2 * * *",
            "Europe/Berlin",
            ["skips 02:00 to 03:00 (next on 2026-03-29)", "repeats 02:00 to 03:00"],
        ),
        ("*/5 2 * * *", "Europe/Berlin", ["are dropped", "run both times"]),
        ("30 2 * * *", "Asia/Kathmandu", []),
    ],
)
def test_what_is_seldom_meant_is_warned_of(expression: str, zone: str, fragments: list[str]) -> None:
    said = warnings(Schedule(expression=expression, zone=zone), after=NOW)
    assert len(said) == len(fragments)
    for text, fragment in zip(said, fragments, strict=True):
        assert fragment in text


def test_without_a_moment_the_standing_rule_of_the_zone_is_meant() -> None:
    said = warnings(Schedule(expression="30 2 * * *", zone="Europe/Berlin"))
    assert [text.partition(",")[0] for text in said] == [
        "when the clock skips 02:00 to 03:00",
        "when the clock repeats 02:00 to 03:00",
    ]


def test_words_of_a_bad_schedule_are_refused() -> None:
    for ask in (describe, warnings):
        with pytest.raises(ValueError, match="5 or 6 fields"):
            ask(Schedule(expression="nonsense"))
