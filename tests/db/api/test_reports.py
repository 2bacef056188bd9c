"""Report files over the API: the owner's and nobody else's, and never another file."""

from __future__ import annotations

import csv
import hashlib
import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from reports.models import ReportFile
from reports.retention import prune_exports
from tests.db.accounts.people import Caller, make_user
from tests.db.executions.world import NOW, make_execution, make_job

pytestmark = pytest.mark.django_db
TEXT = "id,type\n1,credit\n"


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.EXPORT_DIRECTORY = tmp_path / "exports"
    settings.EXPORT_DIRECTORY.mkdir()
    return Path(settings.EXPORT_DIRECTORY)


@pytest.fixture
def ada() -> Any:
    return make_user("ada@example.com")


def make_report(
    folder: Path, job: Any, name: str = "daily-report_2026-03-03_x.csv", **fields: Any
) -> ReportFile:
    (folder / name).write_text(TEXT)
    execution = make_execution(job, status="SUCCESS", completed_at=NOW)
    given = {
        "execution": execution,
        "job_id": job.id,
        "name": name,
        "data_date": date(2026, 3, 3),
        "rows": 1,
        "bytes": len(TEXT),
        "sha256": hashlib.sha256(TEXT.encode()).hexdigest(),
        **fields,
    }
    report = ReportFile.objects.create(**given)
    report.refresh_from_db()
    return report


def test_a_report_is_shown_and_downloaded_as_it_lies_there(folder: Path, ada: Any) -> None:
    job = make_job(user=ada)
    report = make_report(folder, job)
    call = Caller(ada)
    (shown,) = call("get", "/reports").json()["reports"]
    assert shown == call("get", f"/reports/{report.id}").json()
    assert set(shown) == {
        "id",
        "executionId",
        "jobId",
        "name",
        "dataDate",
        "rows",
        "bytes",
        "sha256",
        "createdAt",
    }
    assert (shown["jobId"], shown["dataDate"]) == (str(job.uuid), "2026-03-03")
    response = call("get", f"/reports/{report.id}/download")
    body = b"".join(response.streaming_content)
    assert hashlib.sha256(body).hexdigest() == shown["sha256"]
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == f'attachment; filename="{report.name}"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert list(csv.reader(io.StringIO(body.decode()))) == [["id", "type"], ["1", "credit"]]


def test_others_do_not_find_it(folder: Path, ada: Any) -> None:
    report = make_report(folder, make_job(user=ada))
    stranger = Caller(make_user("eve@example.com"))
    assert stranger("get", "/reports").json()["total"] == 0
    for path in (f"/reports/{report.id}", f"/reports/{report.id}/download"):
        response = stranger("get", path)
        assert (response.status_code, response.json()["error"]) == (404, "Report not found")
    staff = Caller(make_user("s@example.com", is_staff=True))
    assert staff("get", f"/reports/{report.id}/download").status_code == 200


@pytest.mark.parametrize(
    "name", ["../secret.csv", "/etc/passwd", "..", "", "link.csv", "folder", "gone.csv", "a\x00b"[:1] + "/b"]
)
def test_a_name_that_leads_elsewhere_opens_nothing(folder: Path, ada: Any, name: str) -> None:
    (folder.parent / "secret.csv").write_text("secret")
    (folder / "link.csv").symlink_to(folder.parent / "secret.csv")
    (folder / "folder").mkdir()
    report = make_report(folder, make_job(user=ada))
    ReportFile.objects.filter(id=report.id).update(name=name)
    response = Caller(ada)("get", f"/reports/{report.id}/download")
    assert (response.status_code, response.json()["error"]) == (404, "Report file not found")


def test_a_name_with_quotes_and_line_ends_makes_no_header(folder: Path, ada: Any) -> None:
    report = make_report(folder, make_job(user=ada), name='a"b\r\nSet-Cookie: x=1.csv')
    response = Caller(ada)("get", f"/reports/{report.id}/download")
    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers
    assert response["Content-Disposition"] == 'attachment; filename="a\\"b__Set-Cookie: x=1.csv"'


def test_the_list_takes_the_same_number_of_queries_whatever_it_holds(folder: Path, ada: Any) -> None:
    call = Caller(ada)

    def count() -> int:
        with CaptureQueriesContext(connection) as found:
            call("get", "/reports?limit=100")
        return len(found)

    make_report(folder, make_job(user=ada))
    few = count()
    for number in range(10):
        make_report(folder, make_job(user=ada), name=f"{number}.csv")
    assert count() == few <= 4


def test_old_reports_go_with_their_files_and_nothing_else_does(folder: Path, ada: Any, settings: Any) -> None:
    now = datetime(2026, 3, 4, tzinfo=UTC)
    job = make_job(user=ada)
    old = make_report(folder, job, name="old.csv", created_at=now - timedelta(days=31))
    make_report(folder, job, name="young.csv", created_at=now - timedelta(days=29))
    gone = make_report(folder, job, name="gone.csv", created_at=now - timedelta(days=40))
    outside = make_report(folder, job, name="plain.csv", created_at=now - timedelta(days=40))
    (folder / "gone.csv").unlink()
    (folder.parent / "keep.csv").write_text("keep")
    ReportFile.objects.filter(id=outside.id).update(name="../keep.csv")
    assert prune_exports(now) == 0
    settings.EXPORT_RETENTION_DAYS = 30
    assert prune_exports(now) == 3
    assert not ReportFile.objects.filter(id__in=[old.id, gone.id, outside.id]).exists()
    assert sorted(path.name for path in folder.iterdir()) == ["plain.csv", "young.csv"]
    assert (folder.parent / "keep.csv").exists()
