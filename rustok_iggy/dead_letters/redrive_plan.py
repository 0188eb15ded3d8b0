"""Which letters a request means, in which order, as the journal stands: for its owner, and for a dry run.

- Of a tenant that is parked, letters run in order of source offset. A redrive of some of them means all up to the last
  selected one: running a later letter first would break the tenant's order. `break_order` says to do so all the same.
- A lane stops at a letter that may not run: one that failed again under this request, or that used up its redrives
  and is not forced. Letters that park nobody stop nobody.
- A discard means exactly the letters selected, and only such as the operator had seen.
- Letters that arrive meanwhile join as far as they are selected: when a lane is through, or a letter that parks failed
  again in it, plan again. A plan without lanes says that the request is done, and `request_end` is due.
"""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

from msgspec import Struct

from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.records import Action, Request, Selection
from rustok_iggy.dead_letters.snapshot import FoldedLetter, Progress

MAX_REDRIVES = 5
"""Attempts after which a letter runs only when forced: by then its failure is no accident."""
ABORT_SAMPLE = 10
"""Letters that must have run before their failures can abort a request: of fewer, one failure is a large share."""


class RedriveLane(Struct, frozen=True, kw_only=True):
    """What one tenant has to run, in this order (None: letters whose tenant is unknown)."""

    tenant_id: UUID | None
    letters: tuple[FoldedLetter, ...]


class RedrivePlan(Struct, frozen=True, kw_only=True):
    """What is still to be done for a request. Lanes are independent of each other.

    `needs_force`: letters that were meant but have used up their redrives. `aborted`: too many failed again, the
    lanes are empty.
    """

    lanes: tuple[RedriveLane, ...] = ()
    needs_force: tuple[FoldedLetter, ...] = ()
    aborted: bool = False

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to run."""
        return not self.lanes


def plan_redrive(journal: Journal, request: Request, *, max_redrives: int = MAX_REDRIVES) -> RedrivePlan:
    """Return what is left to do for a request, by going through all open letters once.

    Requests are worked one by one, in the order of `journal.requests`. A request that no journal knows yet gives a dry
    run.
    """
    if is_aborted(request, journal.progress(request.id)):
        return RedrivePlan(aborted=True)
    by_tenant: dict[UUID | None, list[FoldedLetter]] = defaultdict(list)
    for letter in journal.open_letters():
        by_tenant[letter.tenant_id].append(letter)
    lanes = []
    refused: list[FoldedLetter] = []
    for tenant_id, letters in by_tenant.items():
        meant = _meant(request, letters)
        if request.action is Action.REDRIVE:
            meant, exhausted = _runnable(request, meant, max_redrives)
            refused += exhausted
        if meant:
            lanes.append(RedriveLane(tenant_id=tenant_id, letters=tuple(meant)))
    return RedrivePlan(lanes=tuple(lanes), needs_force=tuple(refused))


def is_aborted(request: Request, progress: Progress) -> bool:
    """Whether more of a request's letters failed again than it allows."""
    run = progress.handled + progress.failed
    return request.abort_ratio is not None and run >= ABORT_SAMPLE and progress.failed > request.abort_ratio * run


def is_selected(selection: Selection, letter: FoldedLetter) -> bool:
    """Whether a letter matches every criterion given. Unknown ids and types match no criterion on them."""
    return (
        (not selection.tenants or letter.tenant_id in selection.tenants)
        and (not selection.event_ids or letter.event_id in selection.event_ids)
        and (not selection.fingerprints or letter.fingerprint in selection.fingerprints)
        and (not selection.event_types or letter.event_type in selection.event_types)
        and (selection.since is None or letter.stored_at >= selection.since)
        and (selection.until is None or letter.stored_at < selection.until)
    )


def _meant(request: Request, letters: list[FoldedLetter]) -> list[FoldedLetter]:
    """Of one tenant's open letters in order of offset, those a request means."""
    selected = [letter for letter in letters if is_selected(request.selection, letter)]
    if request.action is Action.DISCARD:
        return [letter for letter in selected if request.seen is not None and letter.position <= request.seen]
    if request.break_order:
        return selected
    last = max((letter.offset for letter in selected if letter.parks), default=-1)
    chosen = {letter.offset for letter in selected}
    return [letter for letter in letters if letter.offset in chosen or (letter.parks and letter.offset <= last)]


def _runnable(
    request: Request, letters: list[FoldedLetter], max_redrives: int
) -> tuple[list[FoldedLetter], list[FoldedLetter]]:
    """Split what may run from what would need force; what stands behind a stop is in neither."""
    runnable = []
    exhausted = []
    for letter in letters:
        failed_already = letter.settled_in == request.id
        may_run = request.force or letter.attempts < max_redrives
        if not failed_already and may_run:
            runnable.append(letter)
            continue
        if not may_run:
            exhausted.append(letter)
        if letter.parks and not request.break_order:
            break
    return runnable, exhausted
