"""Logs, traces and metrics."""

import os

# The stable names of HTTP's and of databases' attributes; the libraries read it when they are first used.
os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")
