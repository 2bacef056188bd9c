# One image for every role: `web` (default), `scheduler`, `worker`. See docker/entrypoint.sh.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /venv
COPY requirements.txt requirements-celery.txt requirements-otel.txt ./
RUN /venv/bin/pip install --require-hashes -r requirements.txt -r requirements-celery.txt -r requirements-otel.txt

FROM python:3.11-slim
# The newest tini of the base image's release: an init that reaps children and passes signals on.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1001 --create-home --shell /usr/sbin/nologin scheduler
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=scheduler_site.settings \
    WEB_HOST=0.0.0.0 \
    LOG_DIRECTORY=logs \
    EXPORT_DIRECTORY=exports
WORKDIR /app
COPY --from=build /venv /venv
COPY . .
# The database of the default DATABASE_URL lives in /app too, so the folder belongs to the user. The sources are
# compiled here once: the user may not write, and would compile them at every start and every health check.
RUN mkdir -p logs exports \
    && python -m compileall -q accounts alerts executions jobs reports scheduler_site web \
    && APP_ENV=test SECRET_KEY=only-for-collecting-static-files-1 JWT_SECRET=only-for-collecting-static-files-2 \
       COLLECT_STATIC=1 LOG_DIRECTORY='' python manage.py collectstatic --noinput \
    && chown scheduler:scheduler . logs exports
USER 1001
VOLUME ["/app/logs", "/app/exports"]
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "manage.py", "healthcheck"]
ENTRYPOINT ["tini", "--", "docker/entrypoint.sh"]
CMD ["web"]
