"""When publishing as a whole is said to fail: after a while without a success, and not for ever after the last try."""

from rustok_iggy.publish_outage import FAILING_AFTER, FORGOTTEN_AFTER, PublishOutage

DISK = OSError("the disk is full")


def test_it_is_said_with_the_last_error_once_it_lasts() -> None:
    outage = PublishOutage()
    outage.failed(OSError("another"), now=100.0)
    outage.failed(DISK, now=105.0)
    assert outage.reason(now=100.0 + FAILING_AFTER - 1) is None
    reason = outage.reason(now=100.0 + FAILING_AFTER + 2)
    assert reason == "nothing that was published for 12 s was confirmed: the disk is full"


def test_one_success_ends_it() -> None:
    outage = PublishOutage()
    outage.failed(DISK, now=100.0)
    outage.over()
    assert outage.reason(now=150.0) is None
    outage.failed(DISK, now=149.0)
    assert outage.reason(now=150.0) is None, "it begins anew"


def test_failures_of_which_the_last_is_long_ago_say_nothing() -> None:
    outage = PublishOutage()
    outage.failed(DISK, now=100.0)
    assert outage.reason(now=100.0 + FORGOTTEN_AFTER)
    assert outage.reason(now=101.0 + FORGOTTEN_AFTER) is None
    outage.failed(DISK, now=102.0 + FORGOTTEN_AFTER)
    assert outage.reason(now=103.0 + FORGOTTEN_AFTER) is None, "it begins anew"
