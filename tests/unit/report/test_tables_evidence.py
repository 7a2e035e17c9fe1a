"""The tables that say how far a number can be trusted: order, evidence, memory, limits."""

import pytest

from orchestrator.report.tables import evidence, memory, speed
from orchestrator.results import summary
from orchestrator.results.merge import merge_results
from tests.support.contenders import cell
from tests.support.results_directory import results

MS = 1_000_000
A, B = cell("alpha"), cell("beta")


def steps(factor):
    """Steps of `factor` ms, with 0.2 % between launches."""
    return lambda block, _iteration: [int(10 * MS + n * factor * MS * (1 + block / 500)) for n in range(3)]


def rows(tmp_path, name="r", launches=5, **speeds):
    """Two contenders in one run, alpha's steps and beta's in ms."""
    made = {}
    for engine, factor in (("alpha", speeds.get("alpha", 5)), ("beta", speeds.get("beta", 5))):
        directory = results(tmp_path / name / engine, [cell(engine)], launches, steps=steps(factor))
        made[engine] = summary.summarise(directory)["rows"][0]
    return [made["alpha"], made["beta"]]


@pytest.mark.parametrize(
    ("beta", "verdict"), [(5, "no difference shown"), (6, "slower"), (5.05, "no difference shown")]
)
def test_each_row_against_the_one_above(tmp_path, beta, verdict):
    table = speed.ranking(rows(tmp_path, beta=beta))
    assert list(table["Engine"]) == ["Alpha", "Beta"]
    assert list(table["Verdict"]) == ["-", verdict]


def test_too_few_launches_cannot_tell(tmp_path):
    table = speed.ranking(rows(tmp_path, launches=3, beta=10))
    assert table["Verdict"][1] == "cannot tell" and table["Of the one above"][1] == "0.500"


def test_rows_of_two_runs_are_not_paired(tmp_path):
    """The same machine at another hour is another machine."""
    merged = merge_results([results(tmp_path / name, [cell(name)], 5, steps=steps(5)) for name in ("alpha", "beta")])
    assert speed.ranking(merged["rows"])["Verdict"][1] == "cannot tell (not measured side by side)"


def test_unknown_evidence_is_a_question_mark_and_open_gates_are_named(tmp_path):
    table = evidence.evidence(rows(tmp_path)[:1])
    line = table.iloc[0]
    assert [line[name] for name in ("MBU", "MFU", "J/token", "KL", "Top-1", "Perplexity")] == ["?"] * 6
    assert line["Gates passed"].startswith("2 of 6; not checked: physics, agreement, cold_prefix, self_calibration")


def test_known_evidence(tmp_path):
    row = rows(tmp_path)[0]
    row.update(mbu=0.5, mfu=0.25, energy_j_per_token=0.5)
    row["quality"] = {"kl": 1.25e-4, "kl_p99": 0.01, "top1": 0.9954, "perplexity": 12.34, "greedy_match": 1.0}
    line = evidence.evidence([row]).iloc[0]
    known = ("MBU", "MFU", "J/token", "KL", "KL p99", "Top-1", "Perplexity", "Greedy match")
    assert [line[name] for name in known] == [
        "50 %", "25 %", "0.50", "0.00013", "0.01", "99.54 %", "12.3", "100 %",
    ]  # fmt: skip
    row.update(mfu=1.51)
    assert evidence.evidence([row]).iloc[0]["MFU"] == "> 100 %"
    row.update(mbu=None, bandwidth_gbs=36.0)
    assert evidence.evidence([row]).iloc[0]["MBU"] == "in cache"


def test_where_memory_goes(tmp_path):
    row = rows(tmp_path)[0]
    row.update(weights_mib=10.0, kv_mib=4.0, kv_needed_mib=3.0, peak_host_mib=100.0, peak_mapped_file_mib=20.0)
    line = memory.memory_split([row]).iloc[0]
    assert [line[name] for name in ("Weights", "KV reserved", "KV needed", "Runtime")] == [
        "10.0",
        "4.00",
        "3.00",
        "106",
    ]
    assert line["Peak device"] == "?"


def test_limits_in_lines():
    bandwidth = {"best": 36.5, "values": [36.5, 35.0, 36.0], "spread": 0.04, "method": "memchr", "threads": 2,
                 "buffer_bytes": 336_000_000, "last_level_cache": None}  # fmt: skip
    peaks = {"float32": {"gflops": 208.4, "n": 512, "by": "torch"}}
    assert evidence.limits({"bandwidth_gbs": bandwidth, "matmul": peaks}).splitlines() == [
        "memory bandwidth: 36.5 GB/s (best of 36.5, 35.0, 36.0; memchr, 2 threads, 336 MB)",
        "matrix products float32: 208 GFLOP/s (n = 512, torch)",
    ]
    assert evidence.limits({"bandwidth_gbs": None, "matmul": {}}) == "memory bandwidth: could not be measured"
    assert evidence.limits(None) == "no limits were measured"
