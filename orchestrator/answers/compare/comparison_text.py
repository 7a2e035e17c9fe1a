"""What `compare` found: for a terminal of 100 columns, and as Markdown for a comment on a change."""

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


def render(found: dict[str, Any]) -> str:
    """For a terminal."""
    quantity = METRICS[found["metric"]["key"]]
    parts = [
        f"{quantity.title} [{quantity.unit}], after / before: {quantity.meaning}",
        "\n".join(f"{side}: {_run(found[side])}" for side in ("before", "after")),
    ]
    for title, rows in _by_title(found["rows"]).items():
        heads, lines = _lines(rows, quantity, lambda text: one_line(text, 100))
        parts.append(f"{one_line(title, 90)}\n{grid(heads, lines)}")
    parts.append("\n".join(_remarks(found, quantity)))
    return "\n\n".join(_wrapped(part) for part in parts if part)


def as_markdown(found: dict[str, Any]) -> str:
    """For a comment on a change: verdicts first, one table a workload, then what a reader must know."""
    quantity = METRICS[found["metric"]["key"]]
    parts = [
        f"### {quantity.title}, after / before: {_counted(found)}",
        "\n".join(f"- {side}: {comment(_run(found[side]))}" for side in ("before", "after")),
    ]
    for title, rows in _by_title(found["rows"]).items():
        heads, lines = _lines(rows, quantity, lambda text: comment(one_line(text, 200)))
        parts += [f"**{comment(one_line(title, 200))}**",
                  pipe_table(pd.DataFrame(lines, columns=heads), escaped=False)]  # fmt: skip
    parts.append("\n".join(f"- {comment(line)}" for line in _remarks(found, quantity)[1:]))
    return "\n\n".join(part for part in parts if part) + "\n"


def comment(text: str) -> str:
    """Escaped, and without the marks by which a forge notifies a user (@name) or links another change (#1)."""
    return escape.escape(text).replace("@", "@<!-- -->").replace("#", "#<!-- -->")


def _wrapped(part: str) -> str:
    return "\n".join(
        line if len(line) <= WIDTH else textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        for line in part.splitlines()
    )


def _run(side: dict[str, Any]) -> str:
    versions = [one_line(each, 40) for each in side["versions"]]
    machines = ", ".join(one_line(each, 40) for each in side["machines"][:3])
    named = ", ".join(versions[:4]) + (" …" if len(versions) > 4 else "")
    return f"{one_line(side['directory'], 120)} (versions {named}; machine {machines})"


def _by_title(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows by workload; one that never got a hash stands with its shape's."""
    hashes = {row["title"]: row["workload"] for row in rows if row["workload"]}
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        workload = row["workload"] or hashes.get(row["title"])
        groups.setdefault(f"{row['title']} (workload {workload})" if workload else row["title"], []).append(row)
    return groups


def _lines(
    rows: list[dict[str, Any]], quantity: Metric, text: Callable[[str], str]
) -> tuple[list[str], list[list[str]]]:
    """(heads, lines); the ratio against the anchor has a column only where a row has one."""
    anchored = any(row["against_anchor"] for row in rows)
    heads = ["row", "before", "after", "ratio", *(["against anchor"] if anchored else []), "verdict"]
    lines = []
    for row in rows:
        values = [text(_value(row[side], quantity)) for side in ("before", "after")]
        ratios = [row["ratio"], *([row["against_anchor"]] if anchored else [])]
        verdict = "the anchor" if row["method"] == "is the anchor" else row["verdict"]
        if row["verdict"] not in (*quantity.words, "no difference shown") and row["why"] and verdict != "the anchor":
            verdict += f" ({row['why']})"
        lines.append([text(row["name"]), *values, *(text(_ratio(each)) for each in ratios), text(verdict)])
    return heads, lines


def _value(side: dict[str, Any] | None, quantity: Metric) -> str:
    if side is None:
        return "-"
    return quantity.written(side["value"]).removesuffix(f" {quantity.unit}") if side["outcome"] == "ok" else "-"


def _ratio(found: dict[str, Any] | None) -> str:
    return "-" if found is None else str(Interval(**found))


def _counted(found: dict[str, Any]) -> str:
    counts = found["counts"]
    return ", ".join(f"{count} {word}" for word, count in counts.items()) or "nothing was compared"


def _remarks(found: dict[str, Any], quantity: Metric) -> list[str]:
    """What a reader must know, most telling first."""
    rows = found["rows"]
    lines = [_counted(found)]
    if found["not_a_measurement"]:
        lines.append(QUICK)
    lines += _about_failing(found)
    for anchor in found["anchors"]:
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
    same = [row for row in rows if row["same_software"] and row["verdict"] in quantity.words and row["anchor"]]
    lines += [
        f"{one_line(row['name'], 100)} is {row['verdict']} though its software is the same: the machine, or chance, "
        "treats it other than the anchor; trust no difference smaller than this one"
        for row in same
    ]
    if rows and all(row["same_software"] for row in rows if row["ratio"]) and found["anchors"]:
        lines.append("no engine's image differs: what differs is the machine or its state; --no-anchor compares that")
    lines += _differences(rows) + _flags(rows)
    levels = sorted({
        each["level"] for row in rows if (each := row["against_anchor"] or row["ratio"]) and each["level"]
    })  # fmt: skip
    if levels:
        better, worse = quantity.words
        lines.append(f"intervals over launches, exact level {', '.join(f'{level:.4f}' for level in levels)}; "
                     f"{better} or {worse} needs an interval without 1 and a ratio at least 2 % off it")  # fmt: skip
    return lines


def _flags(rows: list[dict[str, Any]]) -> list[str]:
    """What was noted while a row was measured, once for all rows of which it was."""
    noted: dict[Flag, list[str]] = {}
    for row in rows:
        for side in ("before", "after"):
            for flag in known_flags((row[side] or {}).get("flags", [])):
                if flag is not Flag.NOT_A_MEASUREMENT:
                    noted.setdefault(flag, []).append(f"{row['name']} {side}")
    return [f"note: {flag.note} ({_some(names)})" for flag, names in sorted(noted.items())]


def _about_failing(found: dict[str, Any]) -> list[str]:
    if found["threshold"] is None:
        return []
    limit = f"{100 * found['threshold']:.4g} %"
    if found["regressions"]:
        lines = [f"REGRESSION, shown to be more than {limit}, or lost: {_named(found['regressions'])}"]
    else:
        lines = [f"no regression of more than {limit} is shown"]
    if found["possible_regressions"]:
        lines.append(f"may be more than {limit}, the interval leaves it open: {_named(found['possible_regressions'])}: "
                     "take more launches")  # fmt: skip
    unclear = found["counts"].get(CANNOT_TELL, 0) + found["counts"].get("not comparable", 0)
    if unclear:
        lines.append(
            f"inconclusive for {unclear} of {len(found['rows'])} rows: that is no failure, and no proof either"
        )
    return lines


def _named(names: list[str]) -> str:
    return ", ".join(one_line(name, 100) for name in names)


def _some(names: list[str]) -> str:
    return _named(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _differences(rows: list[dict[str, Any]]) -> list[str]:
    """Keys in which the two sides differ, once for all rows that share a difference."""
    shared: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        for each in row["differing"]:
            key = each["key"], one_line(each["before"], 60), one_line(each["after"], 60)
            shared.setdefault(key, []).append(row["name"])
    return [
        f"{key.replace('_', ' ')} differs: {before} before, {after} after ({_some(names)})"
        for (key, before, after), names in shared.items()
    ]
