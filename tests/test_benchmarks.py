"""The benchmarks measure what they say, and their harness runs."""

import json
import subprocess
import sys
from itertools import repeat
from pathlib import Path

import pytest

from benchmarks.charts import ratios
from benchmarks.measure import compare
from benchmarks.painting import png
from rustok_iggy.benchmark.timing import Round, Series, Stretch, in_turn, side_by_side
from tests.architecture.source_tree import ROOT

pytestmark = pytest.mark.anyio


def series(*rates: int, latencies: tuple[float, ...] = ()) -> Series:
    return Series(rounds=[Round(messages=rate, seconds=1.0, latencies=latencies) for rate in rates])


def test_the_rate_is_the_median_of_the_rounds() -> None:
    assert series(100, 9000, 300).rate == 300


def test_percentiles_are_taken_over_the_calls_of_all_rounds() -> None:
    measured = series(1, 1, latencies=tuple(float(call) for call in range(100)))
    assert measured.latency(50) == 50.0
    assert measured.latency(99) == 99.0


async def test_messages_and_latencies_of_all_publishers_are_counted() -> None:
    async def call() -> int:
        return 10

    alone = await in_turn([call] * 3)
    together = await side_by_side([[call] * 3, [call] * 2])
    assert (alone.messages, len(alone.latencies)) == (30, 3)
    assert (together.messages, len(together.latencies)) == (50, 5)


async def test_no_call_begins_after_the_time_is_over() -> None:
    async def call() -> int:
        return 1

    assert (await in_turn(repeat(call), seconds=0.0)).messages == 1
    assert (await side_by_side([repeat(call), repeat(call)], seconds=0.0)).messages == 2


async def test_a_stretch_counts_what_came_also_when_some_are_left() -> None:
    stretch = Stretch(2)
    assert (stretch.round.messages, stretch.round.rate) == (0, 0.0)
    stretch.handled()
    assert (stretch.round.messages, stretch.done.is_set()) == (1, False)
    stretch.handled()
    assert (stretch.round.messages, stretch.done.is_set()) == (2, True)
    assert stretch.round.seconds == stretch.round.seconds, "it has ended"


async def test_rounds_alternate_and_the_warm_up_is_left_out() -> None:
    played: list[str] = []

    async def play(name: str, messages: int) -> Round:
        played.append(name)
        return Round(messages=messages, seconds=1.0, latencies=[1.0])

    raw, ours = await compare(lambda: play("raw", len(played)), lambda: play("ours", 7), rounds=2)
    assert played == ["raw", "ours"] * 3
    assert [each.messages for each in raw.rounds] == [2, 4]
    assert len(ours.rounds) == 2


@pytest.mark.timeout(300)  # six seconds of one core, which waits for two others: on a machine under load a minute
def test_every_row_is_measured_on_the_local_server(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--engine", "local", "--rounds", "1", "--scale", "0.02"]
    done = subprocess.run(
        [*command, "--output", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (engine,) = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["engines"]
    assert engine["engine"] == "local"
    assert [row["name"] for row in engine["rows"]] == [
        "publish one by one",
        "64 publishers, 1 tenant",
        "64 publishers, 64 tenants",
        "publish batches of 10",
        "publish batches of 100",
        "publish batches of 1000",
        "poll 1000",
        "poll 1000 and decode",
        "consume, 1 tenant",
        "consume, 1000 tenants",
        "1000 tenants beside 1",
        "one of 100 parked",
        "one of 100 parked, CPU",
    ]
    assert engine["paced"].keys() == {"loop", "loop-1ms", "engine"}
    assert all(0 < each["p50_us"] <= each["p99_us"] and each["of_a_core"] > 0 for each in engine["paced"].values())
    assert all(row["raw_messages_per_second"] > 0 and row["ours_messages_per_second"] > 0 for row in engine["rows"])
    shown = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(row["name"] in shown for row in engine["rows"])
    assert ratios([engine]).svg in shown
    assert (tmp_path / "ratios.png").read_bytes() == png(ratios([engine]))
