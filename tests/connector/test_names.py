"""What may be a name."""

import pytest

from rustok_iggy_connector import InvalidRequestError
from rustok_iggy_connector.names import ALLOWED, check_names, group_of, partition_of, topic_of


@pytest.mark.parametrize("name", ["a", "1a", "a1", "-1", "1.5", "ä" * 127, "x" * 255, "with space", "٣"])
def test_names_that_are_taken(name: str) -> None:
    check_names(stream=name, topic=name, group=None)


@pytest.mark.parametrize("name", ["", "0", "007", "+1", "18446744073709551616", "x" * 256, "ä" * 128, "a\n", "a\x00b"])
def test_names_that_are_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="topic '") as caught:
        check_names(stream="fine", topic=name)
    assert ALLOWED in str(caught.value)


@pytest.mark.parametrize("letter", ["x", "1", "\n"])
def test_a_long_name_is_not_repeated_whole_in_the_error(letter: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_names(group=letter * 10_000)
    assert len(str(caught.value)) < 350


def test_errors_speak_of_things_in_words() -> None:
    assert topic_of("s", "t") == "topic 't' of stream 's'"
    assert partition_of("s", "t", 3) == "partition 3 of topic 't' of stream 's'"
    assert group_of("s", "t", "g") == "group 'g' on topic 't' of stream 's'"
