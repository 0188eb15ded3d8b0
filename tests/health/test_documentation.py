"""The examples of the guides to observing and logging run as printed."""

import json
import re
import subprocess
import sys

from tests.architecture.source_tree import ROOT


def run(name: str) -> str:
    text = (ROOT / "docs" / "how-to" / name).read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_probes_and_metrics_answer_as_printed() -> None:
    lines = [line for line in run("observe.md").splitlines() if not line.startswith("2")]
    assert lines == ["livez 200", "readyz 200", "metrics 200"]


def test_logs_are_json_with_events_facts_and_tracebacks() -> None:
    billed, failed = map(json.loads, run("log-as-json.md").splitlines())
    assert billed["event"] == "order_billed"
    assert (billed["order_id"], billed["level"], billed["logger"]) == (42, "info", "shop")
    assert failed["event"] == "billing_failed"
    assert failed["exception"][0]["exc_type"] == "LookupError"
    assert not {"_record", "_from_structlog", "facts"} & failed.keys()
