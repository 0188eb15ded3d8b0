"""The names that docs/how-to/testing.md shows in its tables exist; what its tests do, tests/documentation looks at."""

import re

from tests.architecture.source_tree import ROOT

PAGE = (ROOT / "docs" / "how-to" / "testing.md").read_text(encoding="utf-8")


def test_the_names_in_its_tables_exist() -> None:
    from rustok_iggy.testing import Faults, Rig

    faults = set(re.findall(r"faults\.(\w+)\(", PAGE))
    expectations = set(re.findall(r"\b(assert_\w+|second_member)\(", PAGE))
    assert faults == {"fail", "redeliver", "cancel", "dead_letters_down"}
    assert len(expectations) == 5
    missing = [name for name in faults if not hasattr(Faults, name)]
    missing += [name for name in expectations if not hasattr(Rig, name)]
    assert not missing
