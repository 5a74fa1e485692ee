"""The orchestrator's log without tracebacks of what was foreseen: the message says all."""

from __future__ import annotations

import logging

from ztf_in2p3.errors import PipelineError

RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine")
REPEATED = ("Encountered exception during execution", "exited with unexpected exception")
"""Words with which the orchestrator shows, again, the error that the run's final state has."""


class WithoutTracebacks(logging.Filter):
    """Foreseen errors lose their traceback, and are not shown twice: the run's final state has the message."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Take the traceback of a foreseen error out of a record; whether the record is shown."""
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if isinstance(error, PipelineError):
            record.exc_info = record.exc_text = None
            return not any(words in record.getMessage() for words in REPEATED)
        if record.exc_info and error is None:
            record.exc_info = None  # a state that failed without an exception: there would stand "NoneType: None"
        return True


def hide_tracebacks() -> None:
    """Have the logs of runs say foreseen errors in a line."""
    for name in RUN_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(log_filter, WithoutTracebacks) for log_filter in logger.filters):
            logger.addFilter(WithoutTracebacks())
