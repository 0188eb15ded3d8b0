"""A status becomes an error that says what was asked, of what, and what it is called."""

import pytest

from rustok_iggy_connector import STATUS_ERRORS, IncompatibleServerError, NotFoundError, ServerError
from rustok_iggy_connector.refusals import ADVICE, CLIENT_VERSION, refusal
from rustok_iggy_connector.wire.codes import Status


def test_it_carries_the_facts() -> None:
    error = refusal(2010, command="get_topic", subject="topic 'a' of stream 'b'")
    assert isinstance(error, NotFoundError)
    assert (error.status, error.name, error.command) == (2010, "topic_id_not_found", "get_topic")
    assert str(error) == (
        "the server refused get_topic for topic 'a' of stream 'b': topic id not found (status 2010); "
        "look at the name, or create it first"
    )


@pytest.mark.parametrize("status", STATUS_ERRORS)
def test_every_row_of_the_table_can_be_raised(status: int) -> None:
    name, kind = STATUS_ERRORS[status]
    error = refusal(status, command="c")
    assert type(error) is kind
    assert str(status) in str(error)
    assert name.replace("_", " ") in str(error)


@pytest.mark.parametrize("status", ADVICE)
def test_what_a_caller_can_mend_is_said_at_the_end(status: int) -> None:
    assert str(refusal(status, command="c")).endswith(f"(status {status}); {ADVICE[status]}")
    assert status in STATUS_ERRORS


def test_an_unlisted_status_is_a_plain_server_error() -> None:
    error = refusal(9999, command="c")
    assert type(error) is ServerError
    assert error.status == 9999


def test_another_generation_is_named_with_what_to_do() -> None:
    error = refusal(14003, command="login")
    assert isinstance(error, IncompatibleServerError)
    assert error.client_version == CLIENT_VERSION
    assert f"apache/iggy:{CLIENT_VERSION}" in str(error)


def test_every_row_is_a_status_of_the_protocol() -> None:
    assert set(STATUS_ERRORS) <= {status.value for status in Status}
