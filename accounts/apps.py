from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    """Users, their keys and groups."""

    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts.groups import grant_permissions
        from accounts.superuser import create_first_superuser

        # Permissions exist only after migration, so the groups are filled then; without a sender,
        # because every app brings its own permissions.
        post_migrate.connect(grant_permissions, dispatch_uid="accounts.grant_permissions")
        post_migrate.connect(
            create_first_superuser, sender=self, dispatch_uid="accounts.create_first_superuser"
        )
