"""python -m tests.chaos --seconds 60 [--engine local|iggy-server|remote] [--seed N]: see chaos_run.py.

Exits with 1 when a promise was broken, and leaves everything that the run wrote.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.chaos_run import Plan, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of faults, one a second")
    parser.add_argument("--engine", choices=["local", "iggy-server", "remote"], default="local")
    parser.add_argument("--seed", type=int, default=None, help="the same faults again; their timing is never the same")
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--rate", type=float, default=40.0, help="events a second for each of four tenants")
    parser.add_argument("--bad-share", type=float, default=0.01, help="share of events that fail until mended")
    parser.add_argument("--keep", action="store_true", help="leave what the run wrote, also when all is well")
    given = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    plan = Plan(
        engine=given.engine,
        seed=secrets.randbits(32) if given.seed is None else given.seed,
        seconds=given.seconds,
        members=given.members,
        rate=given.rate,
        bad_share=given.bad_share,
    )
    print(f"seed {plan.seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    report = asyncio.run(run(plan, directory))
    print(report)
    if report.violations or given.keep:
        print(f"everything is in {directory}")
    else:
        shutil.rmtree(directory)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
