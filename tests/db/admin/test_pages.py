"""Every page, for every group, with hostile names, in a bounded number of queries."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs.models import Job
from tests.db.admin.world import (
    HOSTILE,
    browse,
    make_admin_job,
    make_letter,
    make_run,
    make_world,
    pages_of,
    staff,
)

pytestmark = pytest.mark.django_db

ALLOWED_SCRIPTS = {"application/json"}


class Dom(HTMLParser):
    """What a browser would find: elements, their attributes, and text."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parse(client: Client, path: str) -> Dom:
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    dom = Dom()
    dom.feed(answer.content.decode())
    return dom


@pytest.mark.parametrize("group", ["admins", "operators", "viewers"])
def test_every_page_is_shown_to_everybody_who_may_look(group: str) -> None:
    world, client = make_world(), browse(staff(group))
    writing = ("/add/", "/verb/", "/delete/")
    for path in pages_of(world):
        if group != "admins" and any(part in path for part in writing):
            continue
        assert client.get(path).status_code == 200, path


@pytest.mark.parametrize("text", [*HOSTILE, "x" * 10_240])
def test_hostile_names_are_text_and_nothing_else(text: str) -> None:
    world, client = make_world(text), browse(staff())
    for path in pages_of(world):
        dom = parse(client, path)
        for tag, attributes in dom.elements:
            assert not any(name.startswith("on") for name in attributes), (path, tag, attributes)
            assert "style" not in attributes, (path, tag, attributes)
            assert not (attributes.get("href") or "").lower().startswith(("javascript:", "data:")), path
            assert tag != "style", path
            if tag == "script" and not attributes.get("src"):
                assert attributes.get("type") in ALLOWED_SCRIPTS, (path, attributes)
            assert tag != "img" or attributes.get("src") != "x", path


def test_a_hostile_name_is_shown_as_it_is() -> None:
    world, client = make_world(HOSTILE[0]), browse(staff())
    for path in (
        reverse("admin:jobs_job_changelist"),
        reverse("admin:jobs_job_timeline", args=(world.job.pk,)),
    ):
        assert HOSTILE[0] in "".join(parse(client, path).text)


def test_only_http_addresses_become_links() -> None:
    job = make_admin_job()
    Job.objects.filter(pk=job.pk).update(api_endpoint="javascript:alert(1)", handler="http")
    run = make_run(job)
    dom = parse(browse(staff("viewers")), reverse("admin:executions_execution_change", args=(run.pk,)))
    assert "javascript:alert(1)" in "".join(dom.text)
    assert not [1 for _, attributes in dom.elements if "javascript" in (attributes.get("href") or "")]


def count_queries(client: Client, path: str) -> int:
    client.get(path)  # permissions and content types are looked up once
    with CaptureQueriesContext(connection) as queries:
        assert client.get(path).status_code == 200
    counting = [
        query["sql"]
        for query in queries
        if query["sql"].startswith("SELECT COUNT(*)")
        and '"job_executions"' in query["sql"]
        and "LIMIT" not in query["sql"]
        and "WHERE" not in query["sql"]
    ]
    assert not counting, counting
    return len(queries)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("admin:index", 60),
        ("admin:jobs_job_changelist", 25),
        ("admin:executions_execution_changelist", 25),
        ("admin:executions_deadletter_changelist", 20),
        ("admin:executions_deadletter_groups", 15),
        ("admin:jobs_dependency_changelist", 15),
        ("admin:alerts_alert_changelist", 15),
    ],
)
def test_the_number_of_queries_does_not_grow_with_the_rows(name: str, most: int) -> None:
    client = browse(staff())
    make_world("first")
    few = count_queries(client, reverse(name))
    for number in range(3):
        make_world(f"more {number}")
        job = make_admin_job(f"busy {number}")
        for ago in range(1, 6):
            make_run(job, ago=timedelta(hours=ago))
            make_letter(job, ago=timedelta(hours=ago, minutes=1))
    assert count_queries(client, reverse(name)) == few
    assert few <= most


def test_a_list_counts_no_further_than_its_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.admin.lists.CAP", 3)
    job = make_admin_job()
    for ago in range(1, 6):
        make_run(job, ago=timedelta(hours=ago))
    answer = browse(staff()).get(reverse("admin:executions_execution_changelist"))
    assert (answer.context["cl"].paginator.count, answer.context["cl"].count_shown) == (3, "5")
    answer = browse(staff()).get(reverse("admin:executions_execution_changelist"), {"job": job.pk})
    assert answer.context["cl"].count_shown == "3+"


@pytest.mark.parametrize("cap", [1, 10_000])
def test_every_number_of_the_dashboard_is_that_of_the_list_behind_it(
    monkeypatch: pytest.MonkeyPatch, cap: int
) -> None:
    monkeypatch.setattr("web.admin.lists.CAP", cap)
    monkeypatch.setattr("executions.admin.dashboard.CAP", cap)
    make_world("first")
    make_world("second")
    client = browse(staff())
    live = client.get(reverse("admin:index")).context["live"]
    tiles = {tile["title"]: tile["value"] for tile in live["tiles"]}
    assert tiles["Running"] == tiles["Late"] == tiles["Failed, 24 h"] == tiles["Succeeded, 24 h"] == "2"
    for tile in live["tiles"]:
        answer = client.get(tile["url"])
        assert answer.context["cl"].count_shown == tile["value"], tile["title"]


def test_every_bar_of_the_chart_is_as_high_as_the_list_behind_it() -> None:
    job, client = make_admin_job(), browse(staff())
    for hours in (1, 1, 2, 5):
        make_run(job, ago=timedelta(hours=hours, seconds=hours + Job.objects.count()), trigger="manual")
    make_letter(job, ago=timedelta(hours=5))
    chart = client.get(reverse("admin:index")).context["chart"]
    bars = [
        (series["status"], hour, count)
        for series in chart["series"]
        for hour, count in zip(chart["hours"], series["counts"], strict=True)
        if count
    ]
    assert sum(count for _, _, count in bars) == 5
    for status, hour, count in bars:
        answer = client.get(chart["url"], {"status": status, "hour": hour})
        assert answer.context["cl"].result_count == count
    assert not client.get(chart["url"], {"hour": "nonsense"}).context["cl"].result_count


def test_the_jobs_behind_a_hot_spot_are_as_many_as_it_says() -> None:
    for number in range(3):
        make_admin_job(f"job {number}", cron_expression="0 * * * *")
    client = browse(staff())
    spot = client.get(reverse("admin:index")).context["heat"]["hot"][0]
    assert (spot["count"], spot["jobs"]) == ("3 fire times", "3 jobs")
    assert client.get(spot["url"]).context["cl"].result_count == 3
    assert not client.get(reverse("admin:jobs_job_changelist"), {"fires": "x"}).context["cl"].result_count


def test_no_time_on_any_page_lacks_its_zone() -> None:
    world, client = make_world(), browse(staff())
    for path in pages_of(world):
        text = " ".join(parse(client, path).text)
        assert "a.m." not in text, path
        assert "p.m." not in text, path
        for found in re.finditer(
            r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?(?P<after>.{0,12})", " ".join(text.split())
        ):
            assert re.match(r" (UTC|[A-Z]\w+/|[+-]\d{4})", found["after"]), (path, found[0])


def test_the_page_of_a_thing_leads_to_its_audit() -> None:
    user, client = staff("operators"), browse(staff())
    client.post(reverse("admin:accounts_user_change", args=(user.pk,)), {"email": user.email, "name": "Olaf"})
    page = client.get(reverse("admin:accounts_user_change", args=(user.pk,))).content.decode()
    address = f"{reverse('admin:jobs_auditentry_changelist')}?subject=user%3A{user.pk}"
    assert address in page
    found = client.get(address)
    assert found.context["cl"].result_count == 1
    assert "admins@example.com" in found.content.decode()


def test_the_banner_on_every_page_tells_what_is_paused() -> None:
    make_world("for the audit")
    client = browse(staff())
    for name in ("admin:index", "admin:jobs_tag_changelist", "admin:accounts_user_changelist"):
        page = client.get(reverse(name)).content.decode()
        assert "Queue mails" in page
        assert "for the audit" in page


def test_guests_are_sent_to_the_login() -> None:
    for name in ("admin:index", "admin:dashboard", "admin:jobs_job_changelist"):
        answer = Client().get(reverse(name))
        assert answer.status_code == 302
        assert "/login/" in answer["Location"]


def test_a_page_that_does_not_exist_is_a_page_of_the_admin() -> None:
    answer = browse(staff()).get(reverse("admin:jobs_job_timeline", args=(999,)))
    assert answer.status_code == 404
    assert b"Back to the dashboard" in answer.content
