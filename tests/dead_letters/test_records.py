from __future__ import annotations

from uuid import UUID

import pytest
from msgspec.structs import replace

from rustok_iggy.dead_letters.records import Selection, handled_types_digest, letter_id
from tests.dead_letters.journal_records import SOURCE, request


def test_the_id_of_a_letter_follows_from_its_key() -> None:
    assert letter_id(SOURCE, offset=5) == UUID("3c5dba62-6374-afba-0ae0-b024b6f20b12")
    others = {
        letter_id(SOURCE, offset=6),
        letter_id(replace(SOURCE, partition=4), offset=5),
        letter_id(replace(SOURCE, topic="system"), offset=5),
        letter_id(replace(SOURCE, group="shipping"), offset=5),
        letter_id(replace(SOURCE, group="billingd", topic="omain"), offset=5),
        letter_id(SOURCE, offset=5),
    }
    assert len(others) == 6


def test_the_digest_of_handled_types_does_not_depend_on_their_order() -> None:
    assert handled_types_digest(["b", "a"]) == handled_types_digest(["a", "b", "a"])
    assert handled_types_digest(["a"]) != handled_types_digest(["a", "b"])
    assert handled_types_digest(None) != handled_types_digest([])


@pytest.mark.parametrize("criteria", [{}, {"everything": True, "since": 1}])
def test_everything_must_be_said_and_said_alone(criteria: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="everything"):
        Selection(**criteria)


def test_a_request_concerns_the_sources_it_names() -> None:
    assert request().concerns(SOURCE)
    assert not request(group="shipping").concerns(SOURCE)
    assert not request(topic="system").concerns(SOURCE)
    assert not request(partitions=(4,)).concerns(SOURCE)
    assert request(topic="domain", partitions=(3, 4)).concerns(SOURCE)
