"""The examples of the guides to observing and logging run as printed."""

import json
from pathlib import Path

from tests.printed import code_blocks, run_printed


def run(name: str, directory: Path) -> str:
    (code,) = code_blocks(f"docs/how-to/{name}", "python")
    return run_printed(code, directory)


def test_probes_and_metrics_answer_as_printed(tmp_path: Path) -> None:
    lines = [line for line in run("observe.md", tmp_path).splitlines() if not line.startswith("2")]
    assert lines == ["livez 200", "readyz 200", "metrics 200"]


def test_logs_are_json_with_events_facts_and_tracebacks(tmp_path: Path) -> None:
    billed, failed = map(json.loads, run("log-as-json.md", tmp_path).splitlines())
    assert billed["event"] == "order_billed"
    assert (billed["order_id"], billed["level"], billed["logger"]) == (42, "info", "shop")
    assert failed["event"] == "billing_failed"
    assert failed["exception"][0]["exc_type"] == "LookupError"
    assert not {"_record", "_from_structlog", "facts"} & failed.keys()
