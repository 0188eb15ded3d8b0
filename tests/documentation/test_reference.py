"""The reference says what the source says: the pages are what `make reference` writes, and what they claim holds."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import FieldInfo

from rustok_iggy import IggyConfig, JsonSerializer, PostcardSerializer, errors
from rustok_iggy.config_sources import gather
from rustok_iggy.dead_letters.layout import decode_original, decode_record
from rustok_iggy.dead_letters.records import AnyRecord
from rustok_iggy.errors import RustokIggyError
from rustok_iggy.message import RK_HEADER, read_rk_header
from tools import reference_wire, write_public_names
from tools.reference_configuration import keys, parts, variable
from tools.reference_errors import ADVICE, walk
from tools.source_docs import docstring, fields_of
from tools.write_reference import FOLDER, files

FILES = files()
KEYS = dict(keys())
WIRE = (FOLDER / "wire.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", tuple(FILES), ids=lambda path: path.name)
def test_the_page_is_what_make_reference_writes(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == FILES[path], "run `make reference`"


def test_the_list_of_names_is_what_make_names_writes() -> None:
    assert write_public_names.PAGE.read_text(encoding="utf-8") == write_public_names.page(), "run `make names`"


@pytest.mark.parametrize("part", tuple(parts()), ids=lambda part: part.__name__)
def test_every_key_says_what_it_is(part: type[msgspec.Struct]) -> None:
    assert [field.name for field in fields_of(part) if not field.description] == []


@pytest.mark.parametrize(("path", "field"), KEYS.items(), ids=map(".".join, KEYS))
def test_the_variable_of_a_key_sets_it(path: tuple[str, ...], field: FieldInfo) -> None:
    default = msgspec.to_builtins(field.default)
    text = "x" if default is None else str(default).lower() if isinstance(default, bool) else default
    given = ",".join(text) if isinstance(text, list | tuple) else str(text)
    problems: list[str] = []
    values: Any = gather(None, profile=None, environment={variable(path): given}, arguments={}, problems=problems)
    *above, name = path
    for each in above:
        values = values[each]
    assert (values, problems) == ({name: given}, [])
    IggyConfig.load(environment={variable(path): given})


@pytest.mark.parametrize("error", tuple(walk(RustokIggyError)), ids=lambda error: error.__name__)
def test_every_error_that_is_raised_says_what_to_do(error: type[RustokIggyError]) -> None:
    assert error.__subclasses__() or ADVICE in docstring(error)
    assert error is getattr(errors, error.__name__)


def column(heading: str) -> list[str]:
    """The last column of the first table below a heading, without the quotes of code."""
    table = WIRE.partition(f"{heading}\n")[2].partition("\n| ")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return [row[-1].strip("`") for row in rows]


def test_the_bytes_of_rk_on_the_page_are_read_by_the_codec() -> None:
    header = read_rk_header({RK_HEADER: bytes.fromhex("".join(column("### The header `rk`")))})
    assert header is not None
    assert header.tenant_id == reference_wire.TENANT


def test_json_and_postcard_on_the_page_are_the_same_event() -> None:
    written = re.search(r"^## Envelope in JSON.*?```json\n(.*?)\n```", WIRE, re.DOTALL | re.MULTILINE)
    assert written
    from_json = JsonSerializer().decode(written.group(1).encode())
    assert PostcardSerializer().decode(bytes.fromhex("".join(column("## Envelope in Postcard")))) == from_json
    assert from_json == reference_wire.EVENT


def test_the_letter_of_the_page_is_read_back_whole() -> None:
    opened = decode_record(reference_wire.letter_payload())
    assert opened.record == reference_wire.LETTER
    assert decode_original(opened.body).payload == JsonSerializer().encode(reference_wire.EVENT)
    printed = re.search(r"Its key `kind`.*?```json\n(.*?)\n```", WIRE, re.DOTALL)
    assert printed
    assert json.loads(printed.group(1)) == json.loads(reference_wire.metadata())


def test_every_kind_of_record_is_on_the_page() -> None:
    kinds = {kind.__struct_config__.tag for kind in AnyRecord.__args__}
    assert kinds == {kind.__struct_config__.tag for kind in reference_wire.RECORDS}
    assert kinds <= set(re.findall(r"^#### (\w+)$", WIRE, re.MULTILINE))
