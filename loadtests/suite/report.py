"""One self-contained HTML page and a Markdown summary of a run."""

from collections.abc import Sequence
from html import escape
from string import Template

import msgspec

from loadtests.suite import plots
from loadtests.suite.gate import LATENCIES
from loadtests.suite.measures import Measures
from loadtests.suite.record import Run
from loadtests.suite.results import Results
from loadtests.suite.sampler import Sample
from loadtests.suite.timeline import windows

WIDTH_S = 5.0
PAGE = Template("""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Sluice load test: $suite</title>
<style>
body { font: 14px/1.5 system-ui, sans-serif; max-width: 1340px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: 2px 12px; border-bottom: 1px solid #ddd; text-align: right }
td:first-child, th:first-child { text-align: left } pre { background: #f6f6f6; padding: 1em; overflow: auto }
figure { display: inline-block; margin: 0 } .FAIL { color: #b00 } .PASS { color: #070 }
</style>
<h1>Load test: $suite</h1>
<p>$facts</p>
<pre>$verdicts</pre>
$tables
$figures
<h2>Configuration</h2><pre>$config</pre>
</html>
""")


def facts(results: Results) -> list[str]:
    machine = results.machine
    return [
        f"commit {results.commit}, seed {results.seed}, {results.started}, {results.measures.seconds:.0f} s",
        f"{results.model} on {results.accelerator}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory']}, Linux {machine['kernel']}",
        ", ".join(f"{name} {version}" for name, version in results.versions.items()),
        f"{results.figures.calibration_ms:.3g} ms for the fixed work that machines are compared by",
        "command: " + " ".join(results.command),
        _counts(results.measures),
    ]


def _counts(of: Measures) -> str:
    return (
        f"{of.right} right, {of.failed} failed, {of.refused} refused, {of.unserved} never served, {of.left} left, "
        f"{of.changed} with another text than the first time; "
        f"{of.tokens_per_s:.0f} tokens/s, goodput {of.goodput:.1%} ({of.goodput_per_s:.1f} streams/s)"
    )


def verdict_lines(results: Results) -> list[str]:
    """A line for each objective and each fault, and for a ramp's knee."""
    lines = [verdict.line() for verdict in results.verdicts]
    lines += [f"FAIL  {fault}" for fault in results.faults]
    lines.append(f"      baseline: {_baseline(results)}")
    lines += [f"      {note}" for note in results.notes]
    if results.ramp and results.knee is None:
        lines.append("      knee: none, not saturated")
    if results.knee is not None:
        at = results.knee
        lines.append(f"      knee: {at.users} users, {at.tokens_per_s:.0f} tokens/s, TTFT p99 {at.ttft_p99_ms:.0f} ms")
    return lines


def _baseline(results: Results) -> str:
    if results.baseline is None:
        return "none of these options, this model, accelerator, number of cores and configuration"
    compared = any(verdict.ratio is not None for verdict in results.verdicts if verdict.name in LATENCIES)
    return results.baseline + ("" if compared else ", which has no calibration: latencies were not compared")


def _latencies(results: Results) -> list[list[str]]:
    measures = results.measures
    rows = {
        "TTFT": measures.ttft_ms,
        "inter-token": measures.inter_token_ms,
        "queue": measures.queue_ms,
        "end to end": measures.e2e_ms,
        "generator's own lag": measures.lag_ms,
    }
    head = ["ms", "count", "p50", "p90", "p99", "max"]
    return [head] + [
        [name, str(one.count), *(f"{value:.4g}" for value in (one.p50, one.p90, one.p99, one.max))]
        for name, one in rows.items()
    ]


def _personas(results: Results) -> list[list[str]]:
    head = ["persona", "right", "refused", "unserved", "left", "failed"]
    return [head] + [
        [name, *(str(counts[column]) for column in head[1:])] for name, counts in results.measures.by_persona.items()
    ]


def _memory(results: Results) -> list[list[str]]:
    rows = [
        [f"{one.role} ({one.pid})", f"{one.before_mib:.0f}", f"{one.growth_mib:+.1f}"] for one in results.memory[:12]
    ]
    return [["process", "anonymous MiB", "growth MiB"], *rows]


def tables(results: Results) -> list[list[list[str]]]:
    return [_latencies(results), _personas(results), _memory(results)]


def html(results: Results, run: Run, samples: Sequence[Sample]) -> str:
    seen = windows(run.records, run.begin, run.end, WIDTH_S)
    drawn = [
        plots.latency_over_time(seen),
        plots.gaps_over_time(seen),
        plots.percentiles(run.records),
        plots.throughput(seen, results.ramp, results.knee),
        plots.engines(samples, run.begin),
        plots.queue(samples, run.begin),
        plots.outcomes(seen),
        plots.memory(samples, run.begin),
    ]
    config = msgspec.json.format(msgspec.json.encode({"options": results.options, "config": results.config}), indent=1)
    return PAGE.substitute(
        suite=escape(results.suite),
        facts="<br>".join(map(escape, facts(results))),
        verdicts="\n".join(
            f'<span class="{line[:4].strip()}">{escape(line)}</span>' for line in verdict_lines(results)
        ),
        tables="".join(_table(rows) for rows in tables(results)) + _problems(results),
        figures="".join(f"<figure>{picture}</figure>" for picture in drawn),
        config=escape(config.decode()),
    )


def _problems(results: Results) -> str:
    lines = "".join(f"<li>{escape(problem)}</li>" for problem in results.measures.problems)
    return f"<h2>Problems</h2><ul>{lines}</ul>" if lines else ""


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body]
    return f"<table>{''.join(lines)}</table>"


def markdown(results: Results) -> str:
    parts = [
        f"# Load test: {results.suite}\n",
        *(f"- {fact}" for fact in facts(results)),
        "\n```",
        *verdict_lines(results),
        "```\n",
        *("\n".join(_markdown_table(rows)) + "\n" for rows in tables(results)),
        *(f"- {problem}" for problem in results.measures.problems),
    ]
    return "\n".join(parts) + "\n"


def _markdown_table(rows: list[list[str]]) -> list[str]:
    head, *body = rows
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body)]
