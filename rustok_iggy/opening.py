"""Opening a transport though its server goes away meanwhile: all of it is idempotent, so it is done again."""

from __future__ import annotations

from rustok_iggy_connector import ConnectorConfig, ConnectorMode, RetryPolicy, RustokIggyError, ServerUnreachableError

PAUSE = 0.1
"""Seconds between two attempts: about what a server takes to start; reaching it has pauses of its own."""


def opening_policy(config: ConnectorConfig) -> RetryPolicy:
    """Return how long an opening is begun again: as long as a server must be reached in."""
    is_embedded = config.mode is ConnectorMode.EMBEDDED
    timeout = config.embedded.startup_timeout if is_embedded else config.remote.connect_timeout
    return RetryPolicy(initial_delay=PAUSE, max_delay=PAUSE, jitter=0.0, max_elapsed=timeout, repeats=_may_pass)


def _may_pass(error: RustokIggyError) -> bool:
    # An unreachable server was looked for long enough already.
    return error.retryable and not isinstance(error, ServerUnreachableError)
