"""What the log shows of an error that was foreseen: a line, and no traceback."""

from __future__ import annotations

import logging

import pytest

from flows.calibrate import calibrate
from tasks.runtime.foreseen import RUN_LOGGERS
from ztf_in2p3.errors import PipelineError


class Lines(logging.Handler):
    """What a terminal would show."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.shown.append(logging.Formatter("%(message)s").format(record))


@pytest.fixture
def lines():
    handler = Lines()
    for name in RUN_LOGGERS:
        logging.getLogger(name).addHandler(handler)
    yield handler.shown
    for name in RUN_LOGGERS:
        logging.getLogger(name).removeHandler(handler)


WRONG = [{"max_set_aside": 0.0}, {"ccds": [17]}, {"workers": -1}]


@pytest.mark.parametrize("changed", WRONG)
def test_a_foreseen_failure_is_a_line(lines, tmp_path, changed):
    asked = {"period": "20190405", "store": str(tmp_path), "camera": "tiny", "ccds": [1], "workers": 0} | changed
    with pytest.raises(PipelineError) as failure:
        calibrate(**asked)
    text = "\n".join(lines)
    assert str(failure.value) in text
    assert "Traceback" not in text
    assert text.count(str(failure.value)) == 1
