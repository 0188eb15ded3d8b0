"""`rustok-iggy schema`: the catalogue as documents, and whether a change of it can be lived with. Asks no server."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from rustok_iggy.cli.command import AtDesk, command
from rustok_iggy.cli.exits import CommandError, ExitCode
from rustok_iggy.cli.rendering import marked, plural
from rustok_iggy.cli.schema_compatibility import Exported, Mode, added, incompatibilities
from rustok_iggy.cli.schema_documents import asyncapi, json_schema
from rustok_iggy.serialization import SerializationFormat

app = typer.Typer(no_args_is_help=True, help="The event catalogue as JSON Schema or AsyncAPI; compatibility in CI.")

_DIRECTIONS = {
    Mode.BACKWARD: "stored events cannot be read with this catalogue",
    Mode.FORWARD: "services with the saved catalogue cannot read new events",
}


class Document(StrEnum):
    """Kinds of export."""

    JSON_SCHEMA = "json-schema"
    ASYNCAPI = "asyncapi"


@command(app, "export")
async def export(
    desk: AtDesk,
    *,
    kind: Annotated[Document, typer.Option("--as", help="Which kind of document.")] = Document.JSON_SCHEMA,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write it to this file; default: print it.")] = None,
    version: Annotated[str, typer.Option(help="Version of your application, for AsyncAPI.")] = "1.0.0",
) -> None:
    """Write the catalogue as JSON Schema 2020-12, or as AsyncAPI 3.0.0."""
    catalog = desk.catalog()
    catalog.check()
    if kind is Document.ASYNCAPI:
        document = asyncapi(catalog, stream=desk.config().topology.stream_name, version=version)
    else:
        document = json_schema(catalog)
    if out is None:
        desk.print_json(document)
        return
    try:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    except OSError as error:
        raise CommandError(f"cannot write {out}: {error.strerror}", code=ExitCode.REFUSED) from None
    data = {"file": str(out), "kind": kind, "event_types": len(catalog)}
    desk.show(data, marked("ok", f"{plural(len(catalog), 'event type')} of the {catalog.name} catalogue in {out}"))


@command(app, "check")
async def check(
    desk: AtDesk,
    *,
    saved: Annotated[Path, typer.Argument(metavar="SAVED", help="What `schema export` wrote, of either kind.")],
    mode: Annotated[
        Mode, typer.Option(case_sensitive=False, help="BACKWARD, FORWARD or FULL: who reads what.")
    ] = Mode.BACKWARD,
    postcard: Annotated[
        bool, typer.Option("--postcard", help="Also for Postcard; the default when the configuration says so.")
    ] = False,
) -> ExitCode:
    """Compare the catalogue with a saved export: exit code 1 when they are not compatible.

    BACKWARD: this catalogue reads what was written with the saved one. FORWARD: the saved one reads what this one
    writes. FULL: both.
    """
    before, now = Exported(_read(saved)), Exported(_plain(json_schema(desk.catalog())))
    positional = postcard or desk.config().serialization is SerializationFormat.POSTCARD
    try:
        found = incompatibilities(before, now, mode, positional=positional)
        new = added(before, now)
    except (KeyError, TypeError, ValueError) as error:
        raise CommandError(f"{saved} is {error}", code=ExitCode.REFUSED) from None
    data = {
        "mode": mode,
        "compatible": not found,
        "incompatibilities": [
            {"direction": each.direction, "event_type": each.event_type, "reason": each.reason} for each in found
        ],
        "added": new,
    }
    lines = [marked("problem", f"{each.event_type} {each.reason}", _DIRECTIONS[each.direction]) for each in found]
    if not found:
        lines.append(marked("ok", f"compatible with {saved} ({mode})"))
    lines += [marked("note", f"{each} is new") for each in new]
    desk.show(data, *lines)
    return ExitCode.FOUND if found else ExitCode.DONE


def _read(file: Path) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(file.read_bytes())
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", code=ExitCode.NOT_FOUND) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} is not JSON: {error}", code=ExitCode.REFUSED) from None
    if not isinstance(found, dict):
        raise CommandError(f"{file} is no export of `rustok-iggy schema export`", code=ExitCode.REFUSED)
    return found


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """Return it as it is once it was written and read: the two sides are compared as JSON."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return found
