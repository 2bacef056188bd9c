"""`manage.py rotate_secrets`: seals every stored secret anew with the first of ENCRYPTION_KEYS."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from alerts import addresses
from jobs import secrets


class Command(BaseCommand):
    """Run it after putting a new key first; then the old one may go."""

    help = "Encrypt all stored secrets (of jobs and alerts) anew with the first of ENCRYPTION_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"rows sealed anew: {secrets.rotate() + addresses.rotate()}")
