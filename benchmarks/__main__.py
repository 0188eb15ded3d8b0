"""python -m benchmarks [--engine local] [--engine iggy-server] [--rounds 5] [--scale 1.0] [--output benchmarks/results]

Without --engine: the local server and, when RUSTOK_IGGY_SERVER names a binary, iggy-server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.charts import ratios
from benchmarks.page import page
from benchmarks.painting import png
from benchmarks.report import table, values
from benchmarks.run import Effort, EngineReport, measure_engine


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed as a ratio to the raw client.")
    parser.add_argument("--engine", action="append", choices=["local", "iggy-server"], help="may be given twice")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds of each row (default 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="length of a round (default 1.0: about half a second)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"), help="folder for JSON, page, plot")
    return parser.parse_args()


async def measure(options: argparse.Namespace) -> list[EngineReport]:
    server_path = os.environ.get("RUSTOK_IGGY_SERVER")
    engines = options.engine or ["local", *(["iggy-server"] if server_path else [])]
    effort = Effort(rounds=options.rounds, scale=options.scale)
    reports = []
    for engine in engines:
        with tempfile.TemporaryDirectory(prefix="rustok-iggy-benchmark-") as folder:
            report = await measure_engine(
                engine,
                data_dir=Path(folder) / "data",
                server_path=server_path if engine == "iggy-server" else None,
                effort=effort,
                progress=lambda row: print(f"  {row} …", file=sys.stderr),
            )
        print(table(report), flush=True)
        reports.append(report)
    return reports


def main() -> None:
    options = arguments()
    logging.getLogger("rustok_iggy").setLevel(logging.CRITICAL)  # the letter of a parked tenant is no news here
    content = values(asyncio.run(measure(options)))
    options.output.mkdir(parents=True, exist_ok=True)
    files = {
        "results.json": (json.dumps(content, indent=2) + "\n").encode(),
        "report.html": page(content).encode(),
        "ratios.png": png(ratios(content["engines"])),
    }
    for name, data in files.items():
        (options.output / name).write_bytes(data)
    print("written: " + ", ".join(str(options.output / name) for name in files))


if __name__ == "__main__":
    main()
