#!/bin/sh
# What a container runs: `web` (the default), `scheduler`, `worker` (plans nothing; with ENGINE=celery a Celery
# worker), or any other command as it is.
set -eu

role=${1:-web}
[ $# -gt 0 ] && shift

case "$role" in
  web | scheduler | worker)
    # Waits for the database and migrates it, one container at a time. Data is never dropped.
    python manage.py prepare_database --wait "${DATABASE_WAIT_SECONDS:-60}"
    ;;
esac

case "$role" in
  web) exec gunicorn "$@" ;;
  scheduler) exec python manage.py run_scheduler "$@" ;;
  worker)
    if [ "${ENGINE:-local}" = celery ]; then
      exec celery -A scheduler_site worker "$@"
    fi
    exec python manage.py run_scheduler --work-only "$@"
    ;;
  *) exec "$role" "$@" ;;
esac
