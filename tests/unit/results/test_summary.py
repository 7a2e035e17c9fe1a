"""From a journal and its launches to rows."""

import json

import pytest

from orchestrator.base.errors import UserError
from orchestrator.results.summary import seed_of, summarise
from tests.support.contenders import cell
from tests.support.results_directory import Results, job, loaded, result, results, sample

MS = 1_000_000
A, B = cell("alpha"), cell("beta")
# What readers of summary.json rely on.
FIELDS = [
    "engine", "engine_version", "variant", "precision", "scheme", "model", "device", "isolation", "batch_size",
    "prompt_tokens", "new_tokens", "outcome", "reason", "launches", "iterations", "decode_tps", "prefill_tps",
    "e2e_tps", "ttft_s", "itl_s", "load_s", "weights_mib", "peak_host_mib", "peak_device_mib", "energy_j_per_token",
    "mbu", "mfu", "quality", "gates", "flags", "image",
]  # fmt: skip


def rows(directory):
    return {row["engine"]: row for row in summarise(directory)["rows"]}


@pytest.fixture
def made(tmp_path):
    return Results(tmp_path / "r")


def test_a_row_has_every_field_that_readers_rely_on(tmp_path):
    summary = summarise(results(tmp_path / "r", [A, B], 2))
    assert set(summary) >= {"schema", "run", "limits", "rows"}
    assert summary["schema"] == 1
    for row in summary["rows"]:
        assert set(FIELDS) - set(row) == set()
        assert set(row["decode_tps"]) >= {"median", "low", "high", "level", "mean", "std"}
    json.dumps(summary, allow_nan=False)


def test_unknown_is_null_never_zero(tmp_path):
    [row] = rows(results(tmp_path / "r", [A])).values()
    unknown = ("peak_device_mib", "energy_j_per_token", "mbu", "mfu", "quality")
    assert [row[name] for name in unknown] == [None] * 5
    assert row["gates"] == {
        "precision": "pass", "tokens": "pass",
        **dict.fromkeys(
            ("physics", "agreement", "cold_prefix", "self_calibration"), "not checked: no launch came so far"
        ),
    }  # fmt: skip


def speeds(block, _iteration):
    """Launch `block` decodes a token in `block + 1` ms."""
    return [10 * MS, (11 + block) * MS, (12 + 2 * block) * MS]


def test_numbers_of_five_launches(tmp_path):
    [row] = rows(results(tmp_path / "r", [A], 5, steps=speeds)).values()
    assert (row["outcome"], row["launches"], row["iterations"]) == ("ok", 5, 10)
    decode = row["decode_tps"]
    assert decode["values"] == pytest.approx([1000, 500, 1000 / 3, 250, 200])
    assert [decode[key] for key in ("median", "low", "high")] == pytest.approx([1000 / 3, 200, 1000])
    assert decode["level"] == 0.9375
    assert decode["mean"] == pytest.approx((1000 + 500 + 1000 / 3 + 250 + 200) / 5)
    assert row["prefill_tps"]["median"] == pytest.approx(4 / 0.010)
    assert row["weights_mib"] == pytest.approx(4000 / 2**20)
    assert (row["kv_mib"], row["peak_host_mib"], row["load_s"], row["first_generate_s"]) == (1.0, 100.0, 0.5, 0.04)


def test_three_launches_have_no_interval(tmp_path):
    [row] = rows(results(tmp_path / "r", [A], 3, steps=speeds)).values()
    decode = row["decode_tps"]
    assert (decode["low"], decode["high"], decode["level"]) == (None, None, None)
    assert len(decode["values"]) == 3


def test_the_peak_is_the_worst_launch_s(made):
    made.run([A]).plan(A, ["k0", "k1"])
    for block, peak in enumerate((100.0, 300.0)):
        memory = {"peak_host_mib": peak, "peak_mapped_file_mib": 1.0, "source": "test"}
        made.launch(A, block, f"k{block}", made_result=result(memory=memory))
    assert rows(made.end())["alpha"]["peak_host_mib"] == 300.0


def test_what_the_engine_said_comes_before_what_was_declared(made):
    told = result(loaded=loaded(version="9.9", threads=1, kv_bytes=None))
    made.run([A]).plan(A, ["k"]).launch(A, 0, "k", made_result=told)
    row = rows(made.end())["alpha"]
    assert (row["engine_version"], row["threads"], row["kv_mib"]) == ("9.9", 1, None)
    assert (row["image"], row["image_id"], row["workload"]) == ("venv:alpha-1", "i" * 12, "w1")
    assert row["reproduce"].endswith("reproduce.sh")
    assert row["reproduce_commands"] == "#!/bin/sh\necho again"


@pytest.mark.parametrize(("run", "files", "flag"), [
    ({"is_measurement": False}, {}, "not_a_measurement"),
    ({}, {"made_result": result(warmup={"iterations": 10, "steady": False})}, "not_steady"),
    ({}, {"samples": [sample(i, foreign_cpu_s=0.5, steps_ns=[1, 2, 10**9]) for i in range(2)]}, "noisy_host"),
    ({}, {"made_result": result(streams=False), "samples": [sample(i, ttft_ns=MS) for i in range(2)]}, "not_streamed"),
])  # fmt: skip
def test_flags(made, run, files, flag):
    made.run([A], **run).plan(A, ["k"]).launch(A, 0, "k", **files)
    assert rows(made.end())["alpha"]["flags"] == [flag]


def test_caveat_unverified_and_synthetic_are_flags(made):
    made.run([A], model=None)
    made.journal.append("model", name="synthetic:s", digest="d" * 64, synthetic=True, parameters=1)
    made.plan(A, ["k"]).launch(A, 0, "k").end()
    path = made.directory / "journal.jsonl"
    text = (
        path.read_text().replace('"caveat": null', '"caveat": "slow"').replace('"verified": true', '"verified": false')
    )
    path.write_text(text)
    assert rows(made.directory)["alpha"]["flags"] == ["caveat", "synthetic_weights", "unverified"]


def test_a_caveat_of_the_model_s_architecture_is_the_row_s(made):
    told = {"note": "no sliding window", "link": "https://example.org"}
    made.run([A]).plan(A, ["k"], architecture=told).launch(A, 0, "k")
    row = rows(made.end())["alpha"]
    assert (row["caveat"], row["link"], row["flags"]) == ("no sliding window", "https://example.org", ["caveat"])


def test_prompts_and_jobs_differ_by_shape(made):
    wide = cell("alpha", shape=(2, 4, 3))
    made.run([A, wide]).plan(A, ["k"]).plan(wide, ["k"])
    made.launch(A, 0, "k").launch(wide, 0, "k", launch_job=job(wide))
    one, two = summarise(made.end())["rows"]
    assert two["decode_tps"]["median"] == pytest.approx(2 * one["decode_tps"]["median"])


# -- what is no results directory --------------------------------------------------------------------------------------


def test_no_journal(tmp_path):
    with pytest.raises(UserError, match=r"holds no journal\.jsonl"):
        summarise(tmp_path)


@pytest.mark.parametrize("read", [summarise, seed_of])
def test_no_run(tmp_path, read):
    (tmp_path / "journal.jsonl").write_text('{"kind": "ru')
    with pytest.raises(UserError, match="holds no run"):
        read(tmp_path)


def test_the_seed_is_the_first_run_s(made):
    made.run([A], seed=7).run([A], seed=8).end()
    assert seed_of(made.directory) == 7


def with_own(tmp_path, ratio, step_ns, launches=5):
    """A row whose engine's own benchmark says `1 / ratio` times its decode speed."""
    made = Results(tmp_path / "own").run([A], launches=launches).plan(A, [f"k{block}" for block in range(launches)])
    times = [step_ns, 2 * step_ns, 3 * step_ns]
    for block in range(launches):
        made.launch(A, block, f"k{block}", samples=[sample(i, steps_ns=times) for i in range(2)])
        own = {"decode_tps": 1e9 / step_ns / ratio, "prefill_tps": 4e9 / step_ns, "reason": None}
        made.journal.append("own_benchmark", label=A.label, block=block, key=f"k{block}", **own)
    return rows(made.end())["alpha"]


def test_an_engine_s_own_benchmark_that_agrees(tmp_path):
    row = with_own(tmp_path, 0.99, 50 * MS)
    assert row["outcome"] == "ok" and row["own_benchmark"]["verdict"] == "pass"
    assert row["own_benchmark"]["decode"]["median"] == pytest.approx(0.99)
    assert row["own_benchmark"]["prefill"]["median"] == pytest.approx(1.0)


def test_an_engine_s_own_benchmark_that_says_more(tmp_path):
    row = with_own(tmp_path, 0.8, 50 * MS)
    assert row["outcome"] == "invalid_output"
    assert row["reason"] == "gate self_calibration: 0.800 [0.800, 0.800] of the engine's own benchmark, 5 % are allowed"
    assert row["decode_tps"]["median"] == pytest.approx(20)  # nothing measured is lost


def test_short_steps_are_not_held_against_it(tmp_path):
    row = with_own(tmp_path, 0.8, 1 * MS)
    assert row["outcome"] == "ok" and row["own_benchmark"]["verdict"].startswith("not checked: 0.800")


def test_an_own_benchmark_that_failed_says_why(tmp_path):
    made = Results(tmp_path / "r").run([A]).plan(A, ["k"]).launch(A, 0, "k")
    made.journal.append(
        "own_benchmark", label=A.label, block=0, key="k", decode_tps=None, prefill_tps=None, reason="no"
    )
    row = rows(made.end())["alpha"]
    assert row["outcome"] == "ok" and row["own_benchmark"] == {
        "decode": None,
        "prefill": None,
        "verdict": "not checked: no",
    }


def test_drift_is_flagged(tmp_path):
    def slower(block, _iteration):
        return [10 * MS, (20 + block) * MS, (30 + 2 * block) * MS]

    [row] = rows(results(tmp_path / "r", [A], 5, steps=slower)).values()
    assert "drift" in row["flags"]
    [row] = rows(results(tmp_path / "s", [A], 4, steps=slower)).values()
    assert "drift" not in row["flags"]


def test_a_slow_first_iteration_is_flagged(made):
    slow, fast = [10 * MS, 30 * MS, 50 * MS], [10 * MS, 20 * MS, 30 * MS]
    samples = [sample(i, steps_ns=slow if i == 0 else fast) for i in range(4)]
    made.run([A]).plan(A, ["k"]).launch(A, 0, "k", samples=samples)
    assert rows(made.end())["alpha"]["flags"] == ["slow_first"]
