"""The transport's errors: what a caller may do about each, and that texts carry facts, not payloads."""

import pytest

import rustok_iggy_connector
from rustok_iggy import errors
from rustok_iggy.errors import (
    MAX_RETRY_LATER_DELAY,
    BackpressureError,
    DecodeError,
    PredecessorFailedError,
    Reject,
    RetryLater,
    RustokIggyError,
    TransportError,
    ValidationError,
)


def test_the_connectors_tree_is_the_same_tree() -> None:
    named = [name for name in rustok_iggy_connector.__all__ if name.endswith("Error")]
    assert named
    assert all(getattr(errors, name) is getattr(rustok_iggy_connector, name) for name in named)
    assert set(named) < set(errors.__all__)


def test_only_these_may_be_repeated_as_they_are() -> None:
    own = [getattr(errors, name) for name in errors.__all__]
    transport = [error for error in own if issubclass(error, TransportError)]
    assert {error for error in transport if error.retryable} == {BackpressureError, PredecessorFailedError}
    assert not any(error.outcome_unknown for error in transport)


def test_a_validation_error_lists_every_problem() -> None:
    error = ValidationError(["a: must not be nil", "b: must be text"], event_type="order.placed")
    assert error.problems == ("a: must not be nil", "b: must be text")
    assert str(error) == "order.placed: a: must not be nil; b: must be text"


def test_a_decode_error_says_format_and_path() -> None:
    error = DecodeError("ends early", format="postcard", path="event.total")
    assert (error.format, error.path) == ("postcard", "event.total")
    assert str(error) == "postcard: event.total: ends early"


@pytest.mark.parametrize("signal", [Reject("gone"), RetryLater(1)])
def test_signals_are_not_errors_of_the_library(signal: Exception) -> None:
    assert not isinstance(signal, RustokIggyError)


def test_a_rejection_parks_the_tenant_unless_told_otherwise() -> None:
    assert Reject("gone").park
    assert not Reject("gone", park=False).park


@pytest.mark.parametrize("delay", [-1, MAX_RETRY_LATER_DELAY + 1, float("nan"), float("inf")])
def test_a_delay_out_of_bounds_is_refused(delay: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 300 seconds"):
        RetryLater(delay)


@pytest.mark.parametrize("delay", [0, 0.5, MAX_RETRY_LATER_DELAY])
def test_a_delay_within_bounds_is_taken(delay: float) -> None:
    assert RetryLater(delay).delay == delay
