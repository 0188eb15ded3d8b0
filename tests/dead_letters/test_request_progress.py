"""How far a request is, from what its source partitions say."""

from __future__ import annotations

import pytest

from rustok_iggy.dead_letters.request_progress import RequestState, SourceProgress, progress_of
from rustok_iggy.dead_letters.snapshot import Progress
from tests.dead_letters.journal_records import ELSEWHERE, SOURCE, epoch, request_end, request_id


def source(name: str, *, ended: bool, owned: bool) -> SourceProgress:
    return SourceProgress(
        source=SOURCE if name == "here" else ELSEWHERE,
        left=2,
        progress=Progress(handled=1),
        end=request_end(epoch(1)) if ended else None,
        has_owner=owned,
    )


@pytest.mark.parametrize(
    ("here", "there", "state"),
    [
        ((False, True), (False, True), RequestState.RUNNING),
        ((False, True), (False, False), RequestState.RUNNING),
        ((False, False), (False, False), RequestState.WAITING_FOR_MEMBER),
        ((True, False), (False, False), RequestState.WAITING_FOR_MEMBER),
        ((True, False), (True, True), RequestState.DONE),
    ],
)
def test_it_waits_for_a_member_only_when_nobody_owns_anything_that_is_left(
    here: tuple[bool, bool], there: tuple[bool, bool], state: RequestState
) -> None:
    sources = [source("here", ended=here[0], owned=here[1]), source("there", ended=there[0], owned=there[1])]
    assert progress_of(request_id(1), sources).state is state
