"""What a host sees of the library's log without configuring anything of structlog."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
import structlog

from rustok_iggy_connector import get_logger
from tests.logs import event_of, facts_of

log = get_logger(__name__)


def test_a_record_has_a_readable_message_and_its_facts(caplog: pytest.LogCaptureFixture) -> None:
    log.warning("something_happened", group="billing", share="50 %s")
    (record,) = caplog.records
    assert record.getMessage() == "something_happened group=billing share=50 %s"
    assert (record.name, record.levelname, event_of(record)) == (__name__, "WARNING", "something_happened")
    assert record.pathname == __file__
    assert facts_of(record) == {"group": "billing", "share": "50 %s"}


def test_the_level_is_the_hosts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, __name__)
    log.warning("not_wanted")
    assert caplog.records == []


def test_context_variables_come_along(caplog: pytest.LogCaptureFixture) -> None:
    with structlog.contextvars.bound_contextvars(trace_id="t1"):
        log.warning("traced")
    assert facts_of(caplog.records[0]) == {"trace_id": "t1"}


def test_an_exception_is_handed_on(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("seen")
    except ValueError:
        log.warning("failed", exc_info=True)
    record = caplog.records[0]
    assert record.exc_info
    assert isinstance(record.exc_info[1], ValueError)


def test_structlogs_own_configuration_is_not_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    structlog.configure(processors=[lambda *_: "drowned"])
    try:
        get_logger("another").warning("still_seen")
    finally:
        structlog.reset_defaults()
    assert [event_of(record) for record in caplog.records] == ["still_seen"]


def test_standard_output_stays_the_hosts() -> None:
    program = (
        "from rustok_iggy_connector import get_logger; log = get_logger('x'); log.info('i'); log.warning('w', a=1)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (ran.stdout, ran.stderr) == ("", "w a=1\n")
