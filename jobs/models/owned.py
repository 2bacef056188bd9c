"""Who sees which rows: the one base queryset of everything that has an owner."""

from __future__ import annotations

from typing import Any, Self

from django.contrib.auth.models import AnonymousUser
from django.db import models


class OwnedQuerySet(models.QuerySet[Any]):
    """Rows that belong to a user, by the path `owner` (a lookup from the row to the user)."""

    owner = "user"

    def visible_to(self, user: Any) -> Self:
        """The rows this user may see: staff all, others their own, guests those of nobody."""
        if isinstance(user, AnonymousUser) or not user.is_authenticated:
            return self.filter(**{f"{self.owner}__isnull": True})
        return self.all() if user.is_staff else self.filter(**{self.owner: user})
