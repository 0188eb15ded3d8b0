"""The journal decides: whoever calls it reads, writes, waits and tells the time."""

from tests.architecture.test_layers import assert_none
from tests.architecture.test_purity import acting_or_waiting

DECIDING = (
    "records",
    "layout",
    "failures",
    "snapshot",
    "journal",
    "log_identity",
    "redrive_plan",
    "fold_start",
    "read_back",
    "append_queue",
    "overtaken",
    "selection",
    "letters",
    "partition_journal",
    "requests",
    "request_options",
    "request_progress",
    "statistics",
)


def test_the_journal_neither_acts_nor_waits() -> None:
    names = {f"rustok_iggy.dead_letters.{name}" for name in DECIDING} | {"rustok_iggy.moments"}
    assert_none(acting_or_waiting(names))
