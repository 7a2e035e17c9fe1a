"""When launches ran and what the machine did: read back from what lies beside each launch."""

import json
from collections import Counter
from pathlib import Path

import pytest

from orchestrator.report import write
from orchestrator.results import row_summary, summary, timeline
from orchestrator.results.launch_record import LaunchRecord
from tests.support.contenders import cell
from tests.support.results_directory import Results, launch, results, sample


def test_shares_are_of_the_measured_iterations(tmp_path):
    samples = [sample(0, "warmup", foreign_cpu_s=9.0), sample(1, foreign_cpu_s=0.015, steal_s=0.003)]  # of 30 ms
    found = timeline.state(LaunchRecord(launch(tmp_path / "l", samples=samples)))
    assert found == {"foreign_cpu_share": pytest.approx(0.5), "steal_share": pytest.approx(0.1)}


def test_what_the_counters_did_not_say_is_left_out(tmp_path):
    directory = launch(tmp_path / "l", samples=[sample(foreign_cpu_s=None, steal_s=None)])
    assert timeline.state(LaunchRecord(directory)) == {}


def test_the_monitor_counts_from_the_launch_on(tmp_path):
    directory = launch(tmp_path / "l", samples=[sample(foreign_cpu_s=None, steal_s=None)])
    (directory / "machine.json").write_text(json.dumps({
        "marks": {"launch": 5}, "t_ns": [1, 5, 6, 7],
        "series": {"temperature_c": [90, 40, 50, None], "cpu_mhz": [1, 3000, 3100, 2000], "power_w": [9, 10, 20, 30]},
    }))  # fmt: skip
    (directory / "evidence.json").write_text(json.dumps({"bandwidth_gbs": {"before": 28.0, "after": None}}))
    expected = {"temperature_c": 50, "cpu_mhz": 3000, "power_w": 20, "bandwidth_gbs": 28.0}
    assert timeline.state(LaunchRecord(directory)) == expected


@pytest.mark.parametrize("text", ["", "[]", "{", '{"series": null, "t_ns": null, "marks": null}'])
def test_a_launch_that_left_nothing_readable_has_no_state(tmp_path, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "machine.json").write_text(text)
    (tmp_path / "out" / "samples.jsonl").write_text(text)
    assert timeline.state(LaunchRecord(tmp_path)) == {}


@pytest.fixture
def made(tmp_path):
    """One row that is ok, one that failed with a log."""
    good, bad = cell("alpha"), cell("beta")
    run = Results(tmp_path / "r").run([good, bad])
    run.plan(good, ["k"]).launch(good, 0, "k")
    run.plan(bad, ["k"]).launch(bad, 0, "k", "load_failed", "ValueError: bad")
    place = tmp_path / "r" / "launches" / f"{bad.label}-1-k"
    place.mkdir(parents=True)
    (place / "stderr.log").write_bytes(b"first\n" * 50 + b"\xff last " + b"x" * 5000)
    return summary.summarise(run.end())


def test_every_launch_is_in_the_timeline(made):
    assert [(each["engine"], each["block"], each["outcome"], each["wall_s"]) for each in made["timeline"]] == [
        ("alpha", 0, "ok", 1.0),
        ("beta", 0, "load_failed", 1.0),
    ]


def test_a_failed_row_keeps_the_end_of_its_log(made):
    good, bad = made["rows"]
    assert good["log_tail"] is None
    assert len(bad["log_tail"]) == row_summary.LOG_LIMIT
    assert bad["log_tail"].endswith("xxx")


def test_step_times_are_kept_as_quantiles(made):
    good, bad = made["rows"]
    assert good["itl_quantiles"]["count"] == 4  # two iterations of two steps
    assert good["itl_quantiles"]["seconds"] == pytest.approx([0.01] * 7)
    assert bad["itl_quantiles"] is None


def test_the_csv_stays_a_table(tmp_path, made):
    assert not {"log_tail", "itl_quantiles", "timeline"} & set(write.frame(made["rows"]).columns)


def test_every_file_of_a_launch_is_read_once(tmp_path, monkeypatch):
    """For the row as for the timeline."""
    directory = results(tmp_path / "r", [cell("alpha")], launches_each=2)
    opened = Counter()
    plain = Path.open

    def counted(path, *arguments, **more):
        opened[path.relative_to(directory)] += "launches" in path.parts
        return plain(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", counted)
    summary.summarise(directory)
    launches = {path: count for path, count in opened.items() if "launches" in path.parts}
    assert {path.name for path in launches} >= {"job.json", "result.json", "samples.jsonl"}
    assert set(launches.values()) == {1}
