"""Where accounts answer."""

from __future__ import annotations

from accounts.api.views import ApiKeyViewSet, MeViewSet, SignInViewSet, UserViewSet
from web.api.routes import route

urlpatterns = [
    route("auth/register", SignInViewSet, post="register"),
    route("auth/login", SignInViewSet, post="login"),
    route("auth/me", MeViewSet, get="show", patch="change"),
    route("auth/tokens", ApiKeyViewSet, get="list", post="create"),
    route("auth/tokens/<id:id>", ApiKeyViewSet, delete="destroy"),
    route("users", UserViewSet, get="list"),
    route("users/<id:id>", UserViewSet, patch="partial_update"),
]
