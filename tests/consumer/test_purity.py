"""What decides in the delivery engine neither acts nor waits: whoever calls it does."""

import ast

from tests.architecture.source_tree import modules
from tests.architecture.test_layers import assert_none
from tests.architecture.test_purity import ASYNC_NODES, IMPURE_LIBRARIES

DECIDING = (
    *("assignment", "breaker", "confirmations", "deduplication", "failure", "lanes", "letter_records", "pacing"),
    *("parking", "partition_health", "slots", "watermark"),
)
# For the type only.
ALLOWED = {("uuid", "UUID")}


def test_what_decides_neither_acts_nor_waits() -> None:
    chosen = [module for module in modules() if module.name in {f"rustok_iggy.consumer.{name}" for name in DECIDING}]
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
