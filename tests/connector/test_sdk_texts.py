"""Every text that was recorded with the wheel has its status, and texts are matched whole."""

import pytest

from rustok_iggy_connector._sdk_texts import SESSION_GONE, status_of
from rustok_iggy_connector.errors import STATUS_ERRORS

# Text -> status, recorded with apache-iggy 0.9.0 against a real server.
RECORDED = {
    "Disconnected": 8,
    "Cannot establish connection": 9,
    "Not connected": 61,
    "Unauthenticated": 40,
    "Unauthorized": 41,
    "Invalid credentials": 42,
    "Invalid personal access token": 53,
    "Stream with name:  already exists.": 1012,
    "Stream with ID: 0 was not found.": 1009,
    "Topic with name:  for stream with ID: 0 already exists.": 2013,
    "Topic with ID: 0 for stream with ID: 0 was not found.": 2010,
    "Consumer group with name:  for topic with ID: 0 already exists.": 5004,
    "Consumer group with ID: 0 for topic with ID: 0 was not found.": 5000,
    "Consumer group member with client ID: 0 for group with ID: 0 for topic with ID: 0 was not found.": 5006,
    "Consumer offset for consumer with ID: 0 was not found.": 3021,
    "Resource with key:  was not found.": 20,
    "Partition with ID: 0 for topic with ID: 0 for stream with ID: 0 was not found.": 3007,
    "Invalid offset: 0": 4100,
    "Unsupported option key: ": 4041,
    "Invalid option value for key: ": 4042,
    "Invalid command": 3,
    "Too many partitions": 2015,
    "Invalid messages count": 4009,
    "Invalid message payload length": 4025,
    "Too big message payload": 4022,
    "Too big headers payload": 4017,
    "Invalid header value": 4019,
    "Invalid TLS certificate path": 65,
    "Max topic size cannot be lower than segment size. Max topic size: server_default < segment size: 0 B.": 1019,
    "Incompatible binary protocol version: client 0.11.0, server accepts [0.12.0, 0.12.0]": 14003,
}


@pytest.mark.parametrize(("text", "status"), RECORDED.items())
def test_a_recorded_text_has_its_status(text: str, status: int) -> None:
    assert status_of(text) == status


@pytest.mark.parametrize("text", RECORDED)
def test_texts_are_matched_whole(text: str) -> None:
    assert status_of(f"something else: {text}") is None


@pytest.mark.parametrize("text", ["", "disconnected", "Invalid command!", "Stream was not found."])
def test_other_texts_have_none(text: str) -> None:
    assert status_of(text) is None


def test_every_status_is_an_error_or_the_end_of_the_session() -> None:
    for status in RECORDED.values():
        assert status in STATUS_ERRORS or status in SESSION_GONE or status in (64, 65, 66)
