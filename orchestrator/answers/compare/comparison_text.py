"""The result of `compare`: for a terminal of 100 columns, and as Markdown for a comment on a change."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import pandas as pd

from orchestrator.answers.compare.comparison import CANNOT_TELL, NO_ANCHOR, TOO_WIDE, UNANCHORED
from orchestrator.base import escape, stats
from orchestrator.base.escape import one_line
from orchestrator.base.outcomes import Flag, known_flags
from orchestrator.base.stats import Interval
from orchestrator.base.terminal import WIDTH, grid
from orchestrator.report.tables.markdown_table import pipe_table
from orchestrator.results.metrics.metric import Metric
from orchestrator.results.metrics.registry import METRICS

QUICK = "warning: a quick profile is not a measurement: compare runs of --profile standard or publish"
REMEDIES = {
    NO_ANCHOR: "no anchor: the runs were made at different times and no engine of the same software stands in both "
    "(a test contender counts only where it is named), so that drift of the machine cannot be told from a change: "
    "measure an engine that did not change in both runs, name one with --anchor, or accept the drift with --no-anchor",
    TOO_WIDE: "where the interval is too wide take more launches (--launches), on a quieter machine",
}
ACCEPTED = "without an anchor, as asked: drift of the machine between the runs is part of every ratio"


def render(comparison: dict[str, Any]) -> str:
    """For a terminal."""
    quantity = METRICS[comparison["metric"]["key"]]
    parts = [
        f"{quantity.title} [{quantity.unit}], after / before: {quantity.meaning}",
        "\n".join(f"{side}: {_run(comparison[side])}" for side in ("before", "after")),
    ]
    for title, rows in _by_title(comparison["rows"]).items():
        heads, lines = _lines(rows, quantity, lambda text: one_line(text, 100))
        parts.append(f"{one_line(title, 90)}\n{grid(heads, lines)}")
    parts.append("\n".join(_remarks(comparison, quantity)))
    return "\n\n".join(_wrapped(part) for part in parts if part)


def as_markdown(comparison: dict[str, Any]) -> str:
    """For a comment on a change: counts of verdicts, one table per workload, then the remarks."""
    quantity = METRICS[comparison["metric"]["key"]]
    parts = [
        f"### {quantity.title}, after / before: {_counts(comparison)}",
        "\n".join(f"- {side}: {comment(_run(comparison[side]))}" for side in ("before", "after")),
    ]
    for title, rows in _by_title(comparison["rows"]).items():
        heads, lines = _lines(rows, quantity, lambda text: comment(one_line(text, 200)))
        parts += [f"**{comment(one_line(title, 200))}**", pipe_table(pd.DataFrame(lines, columns=heads), escaped=False)]
    parts.append("\n".join(f"- {comment(line)}" for line in _remarks(comparison, quantity)[1:]))
    return "\n\n".join(part for part in parts if part) + "\n"


def comment(text: str) -> str:
    """Escaped, and such that a forge neither notifies a user (@name) nor links another change (#1)."""
    return escape.escape(text).replace("@", "@<!-- -->").replace("#", "#<!-- -->")


def _wrapped(part: str) -> str:
    return "\n".join(
        line if len(line) <= WIDTH else textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        for line in part.splitlines()
    )


def _run(side: dict[str, Any]) -> str:
    versions = ", ".join(one_line(version, 40) for version in side["versions"][:4])
    versions += " …" if len(side["versions"]) > 4 else ""
    machines = ", ".join(one_line(machine, 40) for machine in side["machines"][:3])
    return f"{one_line(side['directory'], 120)} (versions {versions}; machine {machines})"


def _by_title(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows by workload; a row without a workload hash joins the rows of its shape."""
    hashes = {row["title"]: row["workload"] for row in rows if row["workload"]}
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        workload = row["workload"] or hashes.get(row["title"])
        groups.setdefault(f"{row['title']} (workload {workload})" if workload else row["title"], []).append(row)
    return groups


def _lines(
    rows: list[dict[str, Any]], quantity: Metric, text: Callable[[str], str]
) -> tuple[list[str], list[list[str]]]:
    """(heads, lines) of a table; "against anchor" is a column only where a row has that ratio."""
    anchored = any(row["against_anchor"] for row in rows)
    heads = ["row", "before", "after", "ratio", *(["against anchor"] if anchored else []), "verdict"]
    lines = []
    for row in rows:
        values = [text(_value(row[side], quantity)) for side in ("before", "after")]
        ratios = [row["ratio"], *([row["against_anchor"]] if anchored else [])]
        verdict = "the anchor" if row["method"] == "is the anchor" else row["verdict"]
        if row["verdict"] not in (*quantity.words, "no difference shown") and row["why"] and verdict != "the anchor":
            verdict += f" ({row['why']})"
        lines.append([text(row["name"]), *values, *(text(_ratio(ratio)) for ratio in ratios), text(verdict)])
    return heads, lines


def _value(side: dict[str, Any] | None, quantity: Metric) -> str:
    if side is None:
        return "-"
    return quantity.written(side["value"]).removesuffix(f" {quantity.unit}") if side["outcome"] == "ok" else "-"


def _ratio(interval: dict[str, Any] | None) -> str:
    return "-" if interval is None else str(Interval(**interval))


def _counts(comparison: dict[str, Any]) -> str:
    return ", ".join(f"{count} {word}" for word, count in comparison["counts"].items()) or "nothing was compared"


def _remarks(comparison: dict[str, Any], quantity: Metric) -> list[str]:
    """What a reader must know, most important first."""
    rows = comparison["rows"]
    lines = [_counts(comparison)]
    if comparison["not_a_measurement"]:
        lines.append(QUICK)
    lines += _regressions(comparison)
    for anchor in comparison["anchors"]:
        drift = Interval(*(anchor[key] for key in ("ratio", "low", "high", "level")))
        lines.append(
            f"anchor {one_line(anchor['name'], 100)} ({one_line(anchor['work'], 90)}): {drift}, "
            f"level {drift.level:.4f}: what moved it, the machine, is taken out of the other ratios"
        )
        if abs(anchor["ratio"] - 1) > stats.WIDE:
            lines.append(
                f"the machine moved by {100 * (anchor['ratio'] - 1):+.0f} %: what hits engines unequally is not taken "
                "out; repeat on a machine that stands still"
            )
        if anchor["doubt"]:
            lines.append(f"doubt about the anchor: {anchor['doubt']}")
    whys = {row["why"] for row in rows}
    lines += [text for why, text in REMEDIES.items() if why in whys]
    if NO_ANCHOR not in whys and any(row["method"] == UNANCHORED for row in rows):
        lines.append(ACCEPTED)
    unchanged = [row for row in rows if row["same_software"] and row["verdict"] in quantity.words and row["anchor"]]
    lines += [
        f"{one_line(row['name'], 100)} is {row['verdict']} though its software is the same: the machine, or chance, "
        "treats it other than the anchor; trust no difference smaller than this one"
        for row in unchanged
    ]
    if rows and all(row["same_software"] for row in rows if row["ratio"]) and comparison["anchors"]:
        lines.append("no engine's image differs: what differs is the machine or its state; --no-anchor compares that")
    lines += _differences(rows) + _flags(rows)
    intervals = [row["against_anchor"] or row["ratio"] for row in rows]
    levels = sorted({interval["level"] for interval in intervals if interval and interval["level"]})
    if levels:
        better, worse = quantity.words
        lines.append(f"intervals over launches, exact level {', '.join(f'{level:.4f}' for level in levels)}; "
                     f"{better} or {worse} needs an interval without 1 and a ratio at least 2 % off it")  # fmt: skip
    return lines


def _flags(rows: list[dict[str, Any]]) -> list[str]:
    """The note of every flag, once for all rows that have it."""
    flagged: dict[Flag, list[str]] = {}
    for row in rows:
        for side in ("before", "after"):
            for flag in known_flags((row[side] or {}).get("flags", [])):
                if flag is not Flag.NOT_A_MEASUREMENT:
                    flagged.setdefault(flag, []).append(f"{row['name']} {side}")
    return [f"note: {flag.note} ({_some(names)})" for flag, names in sorted(flagged.items())]


def _regressions(comparison: dict[str, Any]) -> list[str]:
    if comparison["threshold"] is None:
        return []
    limit = f"{100 * comparison['threshold']:.4g} %"
    if comparison["regressions"]:
        lines = [f"REGRESSION, shown to be more than {limit}, or lost: {_joined(comparison['regressions'])}"]
    else:
        lines = [f"no regression of more than {limit} is shown"]
    if comparison["possible_regressions"]:
        names = _joined(comparison["possible_regressions"])
        lines.append(f"may be more than {limit}, the interval leaves it open: {names}: take more launches")
    counts, total = comparison["counts"], len(comparison["rows"])
    inconclusive = counts.get(CANNOT_TELL, 0) + counts.get("not comparable", 0)
    if inconclusive:
        lines.append(f"inconclusive for {inconclusive} of {total} rows: that is no failure, and no proof either")
    return lines


def _joined(names: list[str]) -> str:
    return ", ".join(one_line(name, 100) for name in names)


def _some(names: list[str]) -> str:
    return _joined(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _differences(rows: list[dict[str, Any]]) -> list[str]:
    """The differences of the two sides, once for all rows that share one."""
    shared: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        for difference in row["differing"]:
            values = one_line(difference["before"], 60), one_line(difference["after"], 60)
            shared.setdefault((difference["key"], *values), []).append(row["name"])
    return [
        f"{key.replace('_', ' ')} differs: {before} before, {after} after ({_some(names)})"
        for (key, before, after), names in shared.items()
    ]
