"""Rotating the keys under the stored secrets."""

from __future__ import annotations

from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.test import override_settings

from jobs import secrets
from jobs.models import Job, JobVersion
from tests.db.api.jobs import Caller, create, make_user, row
from tests.factories import make_job

pytestmark = pytest.mark.django_db

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_after_a_rotation_the_old_key_may_go() -> None:
    with override_settings(ENCRYPTION_KEYS=[OLD]):
        job = row(create(Caller(make_user()), headers={"X-Key": "one", "X-A": "a"}))
    plain = make_job(headers={"Cookie": "set by SQL"})
    none = make_job(headers={"X-A": "a"})
    with override_settings(ENCRYPTION_KEYS=[NEW, OLD]):
        out = StringIO()
        call_command("rotate_secrets", stdout=out)
    assert out.getvalue() == "rows sealed anew: 3\n"  # two jobs and one version
    with override_settings(ENCRYPTION_KEYS=[NEW]):
        assert secrets.reveal(Job.objects.get(pk=job.pk).headers) == {"X-Key": "one", "X-A": "a"}
        assert secrets.reveal(Job.objects.get(pk=plain.pk).headers) == {"Cookie": "set by SQL"}
        version = JobVersion.objects.get(job=job)
        assert secrets.reveal(version.definition["headers"])["X-Key"] == "one"
    assert "set by SQL" not in str(Job.objects.get(pk=plain.pk).headers)
    assert Job.objects.get(pk=none.pk).headers == {"X-A": "a"}


def test_a_rotation_goes_in_steps_and_leaves_what_no_key_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "STEP", 2)
    jobs = [make_job(headers={"X-Key": f"value {number}"}) for number in range(5)]
    lost = make_job(headers={"X-Key": "sealed:lost"})
    assert secrets.rotate() == 5
    assert [secrets.reveal(Job.objects.get(pk=job.pk).headers)["X-Key"] for job in jobs] == [
        f"value {number}" for number in range(5)
    ]
    assert Job.objects.get(pk=lost.pk).headers == {"X-Key": "sealed:lost"}
