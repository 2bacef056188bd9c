from django.contrib.admin.apps import AdminConfig


class SchedulerAdminConfig(AdminConfig):
    """Django's admin with our front page and our error pages."""

    default_site = "scheduler_site.admin.SchedulerAdminSite"
