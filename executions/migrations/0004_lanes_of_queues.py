from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    """A lane is a job's executions in one queue (the old index goes when the new one is there); retries have theirs."""

    dependencies = [
        ("executions", "0003_rung_at"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(
                F("job"),
                F("queue"),
                F("priority").desc(),
                F("next_attempt_at"),
                condition=Q(status__in=("PENDING", "RETRYING")),
                name="job_executions_by_lane",
            ),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(
                condition=Q(status="RETRYING"), fields=["job"], name="job_executions_retrying"
            ),
        ),
        migrations.RemoveIndex(
            model_name="execution",
            name="job_executions_lanes",
        ),
    ]
