"""`rustok-iggy tenant`: which partition holds a tenant, and how evenly tenants are spread. Asks no server."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from rustok_iggy.cli.command import AtDesk, command
from rustok_iggy.cli.exits import CommandError, ExitCode
from rustok_iggy.cli.rendering import Shown, facts, plural, section, table
from rustok_iggy.cli.values import tenant
from rustok_iggy.errors import ValidationError
from rustok_iggy.partitioning import partition_for
from rustok_iggy.tenants import tenant_uuid
from rustok_iggy_connector import MAX_PARTITIONS

app = typer.Typer(no_args_is_help=True, help="Tenants: where their events are.")

MOST_LISTED = 50
"""Tenants shown one by one; --json has them all."""
BAR = 30
"""Characters of the longest bar."""


@app.callback()
def group() -> None:
    """Tenants: where their events are."""


@command(app, "where")
async def where(
    desk: AtDesk,
    *,
    tenants: Annotated[list[UUID] | None, typer.Argument(parser=tenant, metavar="UUID", help="Ids of tenants.")] = None,
    file: Annotated[Path | None, typer.Option(help="File with one tenant's id a line.")] = None,
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_PARTITIONS, help="As if topic domain had so many; default: as configured."),
    ] = None,
) -> None:
    """Show in which partition of topic domain tenants are, and how evenly a list of them is spread."""
    found = [*(tenants or ()), *(_read(file) if file else ())]
    if not found:
        raise CommandError("name tenants by their ids, or --file with one a line", code=ExitCode.USAGE)
    count = partitions or desk.config().topology.domain_partitions
    places = [(each, partition_for(each, count)) for each in found]
    held = Counter(partition for _, partition in places)
    fullest, mean = max(held.values()), len(found) / count
    data = {
        "partitions": count,
        "tenants": [{"tenant_id": each, "partition": partition} for each, partition in places],
        "counts": [{"partition": each, "tenants": held[each]} for each in range(count)],
        "skew": fullest / mean,
        "empty": count - len(held),
    }
    shown: list[Shown] = []
    if len(found) <= MOST_LISTED:
        shown.append(section(f"of {plural(count, 'partition')}", table(("tenant", ">partition"), places)))
    if len(found) > 1:
        shown.append(_spread(held, count=count, tenants=len(found)))
    desk.show(data, *shown)


def _spread(held: Counter[int], *, count: int, tenants: int) -> Shown:
    fullest = max(held.values())
    rows = [(each, held[each], "█" * round(BAR * held[each] / fullest)) for each in range(count)]
    summary = {
        "tenants": tenants,
        "fullest": f"{fullest / (tenants / count):.2f} times the mean",
        "empty": plural(count - len(held), "partition"),
    }
    return section("how evenly", table((">partition", ">tenants", ""), rows), facts(summary))


def _read(file: Path) -> list[UUID]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", code=ExitCode.NOT_FOUND) from None
    except UnicodeDecodeError:
        raise CommandError(f"{file} is not text", code=ExitCode.REFUSED) from None
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(tenant_uuid(line))
        except ValidationError as error:
            raise CommandError(f"{file}:{number}: {'; '.join(error.problems)}", code=ExitCode.REFUSED) from None
    return found
