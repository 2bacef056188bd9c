from django.db import migrations, models
from django.db.models import F


class Migration(migrations.Migration):
    """The index of the newest executions takes the job's key along; the old one goes when the new one is there."""

    dependencies = [
        ("executions", "0001_initial"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(
                F("scheduled_at").desc(), F("id").desc(), F("job"), name="job_executions_newest_first"
            ),
        ),
        migrations.RemoveIndex(
            model_name="execution",
            name="job_executions_newest",
        ),
    ]
