"""Flows; whoever imports one, from a script too, reports to nobody outside: no telemetry."""

import os

os.environ.setdefault("DO_NOT_TRACK", "1")  # before Prefect is imported, which reads it then
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
