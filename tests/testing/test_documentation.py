"""The tests that docs/how-to/testing.md shows run as printed."""

import re

import pytest

from tests.architecture.source_tree import ROOT

pytest_plugins = ["pytester"]

PAGE = (ROOT / "docs" / "how-to" / "testing.md").read_text(encoding="utf-8")


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_tests_it_shows_pass(pytester: pytest.Pytester) -> None:
    conftest, *shown = blocks()
    pytester.syspathinsert(str(ROOT))
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n")
    pytester.makeconftest(conftest)
    pytester.makepyfile(test_billing="\n\n".join(shown))
    done = pytester.runpytest_inprocess("-p", "rustok_iggy_pytest", "-p", "no:cacheprovider")
    done.assert_outcomes(passed="\n".join(shown).count("async def test_"))


def test_the_names_in_its_tables_exist() -> None:
    from rustok_iggy.testing import Faults, Rig

    faults = set(re.findall(r"faults\.(\w+)\(", PAGE))
    expectations = set(re.findall(r"\b(assert_\w+|second_member)\(", PAGE))
    assert faults == {"fail", "redeliver", "cancel", "dead_letters_down"}
    assert len(expectations) == 5
    missing = [name for name in faults if not hasattr(Faults, name)]
    missing += [name for name in expectations if not hasattr(Rig, name)]
    assert not missing
