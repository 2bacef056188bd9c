"""A gunicorn configuration that knows nothing of ours, as somebody's own might."""

bind = "127.0.0.1:0"
