"""What the log shows of an error that was foreseen: a line, and no traceback."""

from __future__ import annotations

import logging
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.engine import handle_engine_signals
from prefect.flow_engine import run_flow
from prefect.logging.loggers import flow_run_logger

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


def test_a_deployment_that_fails_as_foreseen_exits_without_an_unexpected_exception(lines, tmp_path):
    """A worker runs a deployment this way: in a process, by the run's id."""
    with pytest.raises(SystemExit), handle_engine_signals(uuid4()):
        run_flow(
            calibrate,
            parameters={"period": "20190405", "store": str(tmp_path / "nowhere"), "camera": "tiny", "workers": 0},
            error_logger=flow_run_logger(FlowRun.model_construct(id=uuid4(), name="calibrate"), calibrate),
        )
    text = "\n".join(lines)
    assert text.count("no store at") == 1
    assert "unexpected" not in text
