"""Every setting, read from the environment or `.env`. `docs/` and `.env.example` explain each of them."""

from __future__ import annotations

import base64
import hmac
import os
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from csp.constants import NONE, SELF

from scheduler_site import database, environment, logs, secret_file
from web.api import framework

VERSION = "1.0.0"
BASE_DIR = Path(__file__).resolve().parent.parent

# A test must not depend on what a developer keeps in `.env`.
_file = None if os.environ.get("APP_ENV") == "test" else ".env"
env = environment.read(os.environ, root=BASE_DIR, file=_file)

# What kind of place this is -----------------------------------------------------------------------
APP_ENV = env.choice("APP_ENV", "production", ("production", "development", "test"), "NODE_ENV")
DEVELOPMENT = APP_ENV == "development"
PRODUCTION = APP_ENV == "production"
DEBUG = DEVELOPMENT

# Secrets ------------------------------------------------------------------------------------------
_kept: dict[str, str] = {}
if not PRODUCTION and not (env.given("SECRET_KEY") and env.given("JWT_SECRET")):
    try:
        _kept = secret_file.development_secrets(BASE_DIR / ".secrets.env")
    except OSError as error:
        env.refuse("SECRET_KEY", f"is not set, and .secrets.env cannot be written ({error.strerror})")
SECRET_KEY = env.secret("SECRET_KEY", _kept, least=32)
JWT_SECRET = env.secret("JWT_SECRET", _kept, least=32)
if SECRET_KEY and SECRET_KEY == JWT_SECRET:
    env.refuse("JWT_SECRET", "must differ from SECRET_KEY")
_derived = base64.urlsafe_b64encode(hmac.digest(SECRET_KEY.encode(), b"ENCRYPTION_KEYS", "sha256"))
ENCRYPTION_KEYS = env.fernet_keys("ENCRYPTION_KEYS") or [_derived.decode()]
WEBHOOK_SECRET = env.signing_secrets("WEBHOOK_SECRET")

# Addresses ----------------------------------------------------------------------------------------
PORT = env.whole("PORT", 8000, 1, 65535)
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]"))
ADMIN_PATH = env.path("ADMIN_PATH", "admin/")
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS")
CORS_ALLOWED_ORIGINS = env.origins("CORS_ALLOWED_ORIGINS")
TRUSTED_PROXIES = env.whole("TRUSTED_PROXIES", 0, 0, 10)
HTTPS_ONLY = env.flag("HTTPS_ONLY", False)

# Who may do what ----------------------------------------------------------------------------------
AUTH_MODE = env.choice("AUTH_MODE", "required", ("required", "optional"))
REGISTRATION_OPEN = env.flag("REGISTRATION_OPEN", DEVELOPMENT)
ADMIN_EMAIL = env.email("ADMIN_EMAIL")
ADMIN_PASSWORD = env.text("ADMIN_PASSWORD")
JWT_EXPIRATION = env.duration("JWT_EXPIRATION", timedelta(hours=24), high=timedelta(days=365))
API_RATE_LIMIT = env.rate("API_RATE_LIMIT", "12000/min")
HTTP_ALLOWED_HOSTS = env.hosts("HTTP_ALLOWED_HOSTS")
HTTP_ALLOWED_CIDRS = env.networks("HTTP_ALLOWED_CIDRS", ("127.0.0.0/8", "::1/128") if DEVELOPMENT else ())
HTTP_MAX_PER_HOST = env.whole("HTTP_MAX_PER_HOST", 0, 0, 10_000)
ENABLED_HANDLERS = env.words("ENABLED_HANDLERS", (), ("command", "management-command", "sql-report"))
ENABLE_DUMMY_ENDPOINT = env.flag("ENABLE_DUMMY_ENDPOINT", DEVELOPMENT)

# The scheduler ------------------------------------------------------------------------------------
SCHEDULER_TIMEZONE = env.zone("SCHEDULER_TIMEZONE", "UTC")
SCHEDULER_POLL_INTERVAL_MS = env.whole("SCHEDULER_POLL_INTERVAL_MS", 1000, 10, 60_000)
SCHEDULER_HEARTBEAT_SECONDS = env.whole("SCHEDULER_HEARTBEAT_SECONDS", 10, 1, 300)
LEASE_SECONDS = env.whole("LEASE_SECONDS", 30, 1, 3600)
WORKER_CONCURRENCY = env.whole("WORKER_CONCURRENCY", 10, 1, 1000)
WORKER_QUEUES = env.items("WORKER_QUEUES", ("*",))
SHUTDOWN_TIMEOUT_SECONDS = env.whole("SHUTDOWN_TIMEOUT_SECONDS", 30, 0, 3600)
MAX_RETRY_ATTEMPTS = env.whole("MAX_RETRY_ATTEMPTS", 3, 0, 10)
RETRY_DELAY_MS = env.whole("RETRY_DELAY_MS", 5000, 1, 3_600_000)
ENGINE = env.choice("ENGINE", "local", ("local", "celery"))
CELERY_BROKER_URL = env.url("CELERY_BROKER_URL", ("amqp", "amqps", "redis", "rediss"))
if ENGINE == "celery":
    if not CELERY_BROKER_URL:
        env.refuse("CELERY_BROKER_URL", "is needed by ENGINE=celery: amqp://… or redis://…")
    if not all(find_spec(name) for name in ("celery", "redis")):
        env.refuse("ENGINE", "celery is an extra: pip install -r requirements-celery.txt")
HEARTBEAT_URL = env.url("HEARTBEAT_URL", ("http", "https"))
# For code that uses django.tasks (or the package django-tasks): any queue, run by our engine.
TASKS = {"default": {"BACKEND": "executions.tasks_backend.SchedulerBackend", "QUEUES": []}}

# What is kept, and where --------------------------------------------------------------------------
LOG_LEVEL = env.choice("LOG_LEVEL", "info", ("error", "warn", "info", "debug", "verbose"))
LOG_DIRECTORY = env.directory("LOG_DIRECTORY")
EXPORT_DIRECTORY = env.directory("EXPORT_DIRECTORY", "exports")
RETENTION_DAYS = env.whole("RETENTION_DAYS", 90, 0, 36_500)
AUDIT_RETENTION_DAYS = env.whole("AUDIT_RETENTION_DAYS", 0, 0, 36_500)
EXPORT_RETENTION_DAYS = env.whole("EXPORT_RETENTION_DAYS", 0, 0, 36_500)
RETENTION_PER_JOB = env.whole("RETENTION_PER_JOB", 0, 0, 10_000_000)

# Neighbours ---------------------------------------------------------------------------------------
REDIS_URL = env.url("REDIS_URL", ("redis", "rediss", "unix"))
if not REDIS_URL and env.given("REDIS_HOST"):
    REDIS_URL = f"redis://{env.hosts('REDIS_HOST')[0]}:{env.whole('REDIS_PORT', 6379, 1, 65535)}/0"
_mail = env.mail("EMAIL_URL", development=not PRODUCTION)
EMAIL_BACKEND: str = _mail["EMAIL_BACKEND"]
EMAIL_HOST: str = _mail["EMAIL_HOST"]
EMAIL_PORT: int = _mail["EMAIL_PORT"]
EMAIL_HOST_USER: str = _mail["EMAIL_HOST_USER"]
EMAIL_HOST_PASSWORD: str = _mail["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS: bool = _mail["EMAIL_USE_TLS"]
EMAIL_USE_SSL: bool = _mail["EMAIL_USE_SSL"]
EMAIL_TIMEOUT = 10
EMAIL_FROM = env.email("EMAIL_FROM", "scheduler@localhost")
DEFAULT_FROM_EMAIL = SERVER_EMAIL = EMAIL_FROM
# Services whose host is fixed in the library, so that an address cannot point it into the intranet.
APPRISE_SCHEMES = env.items(
    "APPRISE_SCHEMES",
    ("discord", "slack", "tgram", "pover", "pbul", "opsgenie", "pagerduty", "twilio", "wxteams", "sendgrid"),
)

# Traces -------------------------------------------------------------------------------------------
# Off unless a receiver is named; the other OTEL_ variables are OpenTelemetry's own.
OTEL_EXPORTER_OTLP_ENDPOINT = env.url("OTEL_EXPORTER_OTLP_ENDPOINT", ("http", "https")) or env.url(
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ("http", "https")
)
OTEL_TRACES_EXPORTER = env.choice("OTEL_TRACES_EXPORTER", "otlp", ("otlp", "none"))
TRACES = (
    bool(OTEL_EXPORTER_OTLP_ENDPOINT)
    and OTEL_TRACES_EXPORTER == "otlp"
    and not env.flag("OTEL_SDK_DISABLED", False)
)
if TRACES:
    env.choice("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", ("http/protobuf",))
    os.environ.update(env.starting_with("OTEL_"))

# The database -------------------------------------------------------------------------------------
DATABASES: dict[str, dict[str, Any]] = {"default": database.configure(env, application="scheduler")}
DB_PGBOUNCER = env.flag("DB_PGBOUNCER", False)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

env.stop_if_bad()

LOGGING = logs.configure(
    level=LOG_LEVEL,
    directory=LOG_DIRECTORY,
    as_json=PRODUCTION,
    secrets=(
        *(SECRET_KEY, JWT_SECRET, *ENCRYPTION_KEYS, *WEBHOOK_SECRET.split()),
        *(ADMIN_PASSWORD, EMAIL_HOST_PASSWORD, DATABASES["default"].get("PASSWORD", "")),
        *(unquote(urlsplit(url).password or "") for url in (CELERY_BROKER_URL, REDIS_URL)),
    ),
)

# Django -------------------------------------------------------------------------------------------
ROOT_URLCONF = "scheduler_site.urls"
WSGI_APPLICATION = "scheduler_site.wsgi.application"
AUTH_USER_MODEL = "accounts.User"
APPEND_SLASH = False
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = ["web.formats"]

INSTALLED_APPS = [
    "scheduler_site.apps.SchedulerAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    "csp",
    "web",
    "accounts",
    "jobs",
    "executions",
    "reports",
    "alerts",
]

MIDDLEWARE = [
    "web.request_metrics.RequestMetricsMiddleware",
    "web.middleware.RequestIdMiddleware",
    *(["web.request_traces.RequestTracesMiddleware"] if TRACES else []),
    "web.middleware.ClientAddressMiddleware",
    "web.middleware.JsonErrorMiddleware",
    "web.middleware.BodySizeMiddleware",
    "web.middleware.TrailingSlashMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "scheduler_site" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Staff may look at everything without a group; see accounts.backends.
AUTHENTICATION_BACKENDS = ["accounts.backends.StaffBackend"]
REST_FRAMEWORK = framework.REST_FRAMEWORK
SPECTACULAR_SETTINGS = framework.SPECTACULAR_SETTINGS | {
    "VERSION": VERSION,
    # Names for words that several objects call alike.
    "ENUM_NAME_OVERRIDES": {
        "JobTypeEnum": "jobs.api.dialect.TYPES",
        "JobStatusEnum": "jobs.api.dialect.SAID_STATES",
        "AlertTypeEnum": "alerts.models.AlertType.values",
        "ExecutionStatusEnum": "executions.api.serializers.STATUS_WORDS",
        "SchedulerStateEnum": "executions.api.health.STATES",
        "NewExecutionStatusEnum": ["PENDING", "pending"],
    },
}
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.BCryptSHA256PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 8},
    },
]

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# `collectstatic` fills STATIC_ROOT, as the image does; a checkout without it serves the files of the apps.
_collected = PRODUCTION and (STATIC_ROOT / "staticfiles.json").exists()
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if _collected or os.environ.get("COLLECT_STATIC")
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = not _collected

# One body may have 1 MiB; the views answer 413 above it.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000

# What browsers are told ---------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
# Django asks for 50 characters of SECRET_KEY; 32 random ones are the rule here, checked at every start.
SILENCED_SYSTEM_CHECKS = ["security.W009"]
SECURE_REFERRER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = HTTPS_ONLY
# Container and load-balancer probes speak plain HTTP inside the host.
SECURE_REDIRECT_EXEMPT = [r"^(api/v1/)?health(/|$)", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS_ONLY
SECURE_HSTS_PRELOAD = HTTPS_ONLY
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS_ONLY
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CORS_ALLOW_CREDENTIALS = False
CORS_ALLOW_HEADERS = ["Accept", "Authorization", "Content-Type", "Idempotency-Key", "X-Request-ID"]
CORS_EXPOSE_HEADERS = ["Location", "Retry-After", "X-Request-ID", "X-Total-Count"]
