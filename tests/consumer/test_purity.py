"""What decides in the delivery engine neither acts nor waits: whoever calls it does."""

from tests.architecture.test_layers import assert_none
from tests.architecture.test_purity import acting_or_waiting

DECIDING = (
    *("assignment", "breaker", "confirmations", "deduplication", "failure", "lanes", "letter_records"),
    *("pacing", "parking", "partition_health", "slots", "watermark"),
)


def test_what_decides_neither_acts_nor_waits() -> None:
    names = {f"rustok_iggy.consumer.{name}" for name in DECIDING}
    assert_none(acting_or_waiting(names))
