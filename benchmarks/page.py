"""The report as one HTML file that needs no other: charts, every ratio with its aim, and where it was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape

from benchmarks.charts import ENGINE_COLOURS, PACED_NAMES, Values, latencies, rates, ratios

STYLE = """
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; color: #1f2937;
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; background: #fff; }
h1 { margin-bottom: .2rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #e5e7eb; padding-bottom: .3rem; }
p.lead { color: #4b5563; margin-top: 0; } svg { width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #e5e7eb; text-align: right; vertical-align: top;
         white-space: nowrap; }
th:first-child, td:first-child, td.words { text-align: left; white-space: normal; }
th { font-weight: 600; background: #f9fafb; }
.met { color: #047857; } .missed { color: #b91c1c; font-weight: 600; } .quiet { color: #6b7280; font-size: 13px; }
"""
HEAD = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>rustok-iggy: benchmarks</title>
<style>{STYLE}</style>
</head>
<body>
<h1>How fast rustok-iggy is beside the raw client</h1>"""
ABOUT_RATIOS = """<h2>Ratios</h2>
<p>Messages a second as a multiple of the baseline's, on the same server in the same minutes: rounds of both alternate,
and the median of the rounds counts. To the right of 1 this library is faster.</p>"""
ABOUT_LATENCIES = """<h2>From publish to handler</h2>
<p>One event after another at a steady rate; the consumer is a process of its own. The dot is the median, the bar
reaches to the 99th percentile.</p>"""
FOOT = """<h2>Measure it yourself</h2>
<p><code>make bench</code> measures the bundled server, and with <code>RUSTOK_IGGY_SERVER=/path/to/iggy-server</code> a
real one too. What is compared stands in <code>benchmarks/run.py</code>. <code>rustok-iggy bench</code> measures your
own server with your own configuration.</p>
</body>
</html>
"""
ENGINES = {
    "local": "the bundled server, for development",
    "iggy-server": "a real server, run on this machine",
}


def page(content: Values) -> str:
    """The page of results.json."""
    engines = content["engines"]
    return "\n".join(
        [
            HEAD,
            f'<p class="lead">{escape(summary(engines))} Measured {when(content)}.</p>',
            *where(content),
            ABOUT_RATIOS,
            ratios(engines).svg,
            ABOUT_LATENCIES,
            latencies(engines).svg,
            *(part for number, each in enumerate(engines) for part in of_engine(each, ENGINE_COLOURS[number])),
            FOOT,
        ]
    )


def when(content: Values) -> str:
    return f"{datetime.fromisoformat(content['measured_at']):%Y-%m-%d %H:%M} UTC"


def summary(engines: Iterable[Values]) -> str:
    """How many aims were reached, engine by engine."""
    return " ".join(f"{each['engine']} {each['version']}: {reached(each)}." for each in engines)


def reached(engine: Values) -> str:
    judged = [row for row in engine["rows"] if {row["aim"], row["ours_aim"], row["raw_aim"]} != {None}]
    judged += [each for each in engine["paced"].values() if each["aim"] is not None]
    met = sum(not each["missed"] for each in judged)
    return f"{met} of {len(judged)} rows with an aim reach it"


def where(content: Values) -> Iterator[str]:
    yield "<h2>What was measured, and where</h2>\n<table>"
    for name, value in content["machine"].items():
        yield f'<tr><td>{escape(name)}</td><td class="words">{escape(value)}</td></tr>'
    for each in content["engines"]:
        about = f"{each['version']}, {ENGINES.get(each['engine'], '')}; events of {each['payload_bytes']} bytes"
        yield f'<tr><td>{escape(each["engine"])}</td><td class="words">{escape(about)}</td></tr>'
    yield "</table>"
    if all(each["engine"] != "iggy-server" for each in content["engines"]):
        yield '<p class="quiet">No real server was measured: RUSTOK_IGGY_SERVER named none.</p>'


def of_engine(engine: Values, colour: str) -> Iterator[str]:
    yield f"<h2>{escape(engine['engine'])} {escape(engine['version'])}</h2>"
    yield '<p class="quiet">Messages a second, and how long a call of ours takes.</p>\n<table>'
    yield row("th", ["", "baseline", "ours", "ratio", "aim", "call p50", "call p99"])
    for each in engine["rows"]:
        yield row("td", row_cells(each))
    yield "</table>\n<br>\n<table>"
    rate = next(iter(engine["paced"].values()))["events_per_second"]
    yield row("th", [f"{rate} events a second, publish to handler", "p50", "p99", "of a core", "aim"])
    for name, each in engine["paced"].items():
        yield row("td", paced_cells(name, each))
    yield "</table>"
    yield '<p class="quiet">Every round of both, a dot each: how far they lie apart says how much a ratio is worth.</p>'
    yield rates(engine, colour=colour).svg


def row_cells(each: Values) -> list[str]:
    aims = [f"{each['aim']:g}"] if each["aim"] is not None else []
    aims += [f"{who} {each[f'{who}_aim']:,g}/s" for who in ("ours", "raw") if each[f"{who}_aim"] is not None]
    return [
        f'{escape(each["name"])}<br><span class="quiet">to {escape(each["baseline"])}</span>',
        f"{each['raw_messages_per_second']:,}",
        f"{each['ours_messages_per_second']:,}",
        f"<b>{each['ratio']:.2f}</b>",
        verdict(each["missed"], aims),
        duration(each["ours_call_p50_us"]),
        duration(each["ours_call_p99_us"]),
    ]


def paced_cells(name: str, each: Values) -> list[str]:
    aim = each["aim"]
    return [
        escape(PACED_NAMES.get(name, name)),
        duration(each["p50_us"]),
        duration(each["p99_us"]),
        f"{each['of_a_core']:.0%}",
        verdict(each["missed"], [] if aim is None else [f"p50 {duration(aim['p50_us'])}", f"{aim['of_a_core']:.0%}"]),
    ]


def verdict(missed: Sequence[str], aims: Sequence[str]) -> str:
    if missed:
        return f'<span class="missed">✗ {escape(", ".join(missed))}</span>'
    return f'<span class="met">✓ {escape(", ".join(aims))}</span>' if aims else ""


def duration(microseconds: float) -> str:
    """µs below a thousand, ms above; nothing where there are no calls."""
    if not microseconds:
        return ""
    if microseconds < 1000:
        return f"{microseconds:,.0f} µs"
    return f"{microseconds / 1000:,.2f} ms" if microseconds < 10_000 else f"{microseconds / 1000:,.0f} ms"


def row(kind: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{kind}>{each}</{kind}>" for each in cells) + "</tr>"
