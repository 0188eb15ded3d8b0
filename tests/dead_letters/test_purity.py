"""The journal decides: whoever calls it reads, writes, waits and tells the time."""

import ast

from tests.architecture.source_tree import modules
from tests.architecture.test_layers import assert_none
from tests.architecture.test_purity import ASYNC_NODES, IMPURE_LIBRARIES

DECIDING = (
    "records",
    "layout",
    "failures",
    "snapshot",
    "journal",
    "redrive_plan",
    "fold_start",
    "read_back",
    "append_queue",
    "overtaken",
    "moments",
    "selection",
    "letters",
    "partition_journal",
    "requests",
    "request_options",
    "request_progress",
    "statistics",
)
# For the type only.
ALLOWED = {("uuid", "UUID")}


def test_the_journal_neither_acts_nor_waits() -> None:
    chosen = [
        module for module in modules() if module.name in {f"rustok_iggy.dead_letters.{name}" for name in DECIDING}
    ]
    assert len(chosen) == len(DECIDING)
    imports = [
        f"{module.at(found.line)}: imports {found.module}"
        for module in chosen
        for found in module.imports()
        if found.module.partition(".")[0] in IMPURE_LIBRARIES and (found.module, found.name) not in ALLOWED
    ]
    waits = [
        f"{module.at(node.lineno)}: {type(node).__name__}"
        for module in chosen
        for node in ast.walk(module.tree)
        if isinstance(node, ASYNC_NODES)
    ]
    assert_none(imports + waits)
