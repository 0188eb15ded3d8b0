from rustok_iggy.dead_letters.records import Source
from rustok_iggy.dead_letters.stored_start import Kept, consumer_name
from tests.dead_letters.journal_records import ELSEWHERE, SOURCE


def test_each_source_keeps_its_own_two_offsets() -> None:
    # Two that read alike when written one after the other.
    sources = [
        SOURCE,
        ELSEWHERE,
        Source(group="a", topic="bc", partition=1),
        Source(group="ab", topic="c", partition=1),
    ]
    names = {consumer_name(source, kept) for source in sources for kept in Kept}
    assert len(names) == 2 * len(sources)


def test_a_name_fits_however_long_its_parts_are() -> None:
    longest = Source(group="ä" * 255, topic="t" * 255, partition=2**32 - 1)
    assert len(consumer_name(longest, Kept.CHECKPOINT).encode()) < 64
