"""What somebody should look at, in words."""

from rustok_iggy.consumer.partition_health import together


def test_what_is_true_of_several_partitions_is_said_once() -> None:
    said = together("billing/domain", {10: ["away", "late"], 2: ["away"], 3: []})
    assert list(said) == ["billing/domain/2,10: away", "billing/domain/10: late"]
