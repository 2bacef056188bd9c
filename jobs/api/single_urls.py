"""The address of jobs that exists once, beside the description of the API."""

from __future__ import annotations

from jobs.api.manifest import ManifestSchemaView
from web.api.routes import route

urlpatterns = [route("docs/jobs.schema.json", ManifestSchemaView)]
