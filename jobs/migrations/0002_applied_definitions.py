"""What a file last said of a job, for drift."""

import django.db.models.deletion
from django.db import migrations, models

import web.columns


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="AppliedDefinition",
            fields=[
                (
                    "job",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="applied",
                        serialize=False,
                        to="jobs.job",
                    ),
                ),
                ("source", models.CharField(max_length=255)),
                ("definition", models.JSONField()),
                ("applied_at", models.DateTimeField(db_default=web.columns.DatabaseNow())),
            ],
            options={"db_table": "applied_definitions"},
        ),
    ]
