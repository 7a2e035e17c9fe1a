"""What a constraint may say, and what a row knows about it."""

import pytest

from orchestrator.results.metrics.registry import METRICS, launches
from tests.support.summary_rows import failed, row

GB = 1e9 / 2**20


@pytest.mark.parametrize(("key", "text", "value", "unit"), [
    ("memory", "16GB", 16 * GB, "GB"), ("memory", "16 GiB", 16384, "GiB"), ("memory", "500mib", 500, "MiB"),
    ("memory", "1.5TB", 1500 * GB, "TB"), ("ttft", "200ms", 0.2, "ms"), ("ttft", "1.5 s", 1.5, "s"),
    ("itl", "500us", 0.0005, "us"), ("itl", "500µs", 0.0005, "µs"), ("top1", "0.99", 0.99, ""),
    ("top1", "99%", 0.99, "%"),
    ("top1", "99.5 %", 0.995, "%"), ("kl", "1e-3", 0.001, ""), ("kl", ".01", 0.01, ""), ("decode_tps", "20", 20, ""),
    ("decode_tps", "20 tokens/s", 20, "tokens/s"), ("energy", "500mJ", 0.5, "mJ"), ("energy", "0.5", 0.5, ""),
])  # fmt: skip
def test_limits_as_people_write_them(key, text, value, unit):
    found = METRICS[key].parse(text)
    assert (found.value, found.unit, found.asked) == (pytest.approx(value), unit, text)


@pytest.mark.parametrize(("key", "text", "hint"), [
    ("memory", "16", "with a unit (MiB, GiB, TiB, MB, GB, TB), for example 16GB"), ("memory", "16KB", "for example"),
    ("memory", "-1GB", "for example"), ("memory", "", "for example"), ("memory", "GB", "for example"),
    ("ttft", "200", "with a unit (s, ms, us, µs)"), ("ttft", "200 sheep", "for example 200ms"),
    ("top1", "99", "a share lies between 0 and 1: 0.99 or 99%"), ("top1", "101%", "a share lies between"),
    ("kl", "nan", "expected a number, for example 0.01"), ("kl", "inf", "expected a number"),
    ("memory", "1e999GB", "1e999GB is larger than"),
    ("decode_tps", "1e", "expected a number"), ("decode_tps", "²", "expected a number"),
])  # fmt: skip
def test_what_is_no_limit(key, text, hint):
    with pytest.raises(ValueError, match=r"expected|share|larger") as refused:
        METRICS[key].parse(text)
    assert hint in str(refused.value)


@pytest.mark.parametrize(("key", "value", "unit", "text"), [
    ("memory", 16 * GB, "GB", "16 GB"), ("memory", 500, None, "500 MiB"), ("memory", 20480, None, "20 GiB"),
    ("ttft", 0.2003, "ms", "200.3 ms"), ("ttft", 2.5, None, "2.5 s"), ("top1", 0.99134, "", "0.9913"),
    ("top1", 0.99134, None, "99.13 %"), ("kl", 1.7e-7, None, "1.7e-07 nats"), ("decode_tps", 0.0, None, "0 tokens/s"),
    ("decode_tps", 123456.0, None, "123456 tokens/s"), ("decode_tps", None, None, "?"),
])  # fmt: skip
def test_a_value_in_the_unit_asked_for(key, value, unit, text):
    assert METRICS[key].written(value, unit) == text


def test_memory_on_a_cpu_counts_the_files_that_an_engine_maps():
    each = {"peak_host_mib": [100.0] * 5, "peak_mapped_file_mib": [900.0, 900.0, 900.0, 900.0, 890.0]}
    found = METRICS["memory"].read(row(peak=100.0, peak_mapped_file_mib=900.0, each_launch=each))
    assert (found.value, found.low, found.high) == (1000.0, 990.0, 1000.0)
    assert found.launches == {0: 1000.0, 1: 1000.0, 2: 1000.0, 3: 1000.0, 4: 990.0}


def test_memory_on_an_accelerator_is_the_device_s():
    found = METRICS["memory"].read(row(device="cuda", peak_device_mib=5000.0, each_launch={}))
    assert (found.value, found.low, found.launches) == (5000.0, None, {})


@pytest.mark.parametrize("changes", [
    {"peak_host_mib": None}, {"peak_mapped_file_mib": None}, {"device": "cuda"},
])  # fmt: skip
def test_memory_that_was_not_measured_is_unknown_and_not_zero(changes):
    found = METRICS["memory"].read(row(**changes))
    assert (found.value, found.why) == (None, "no peak was measured")


@pytest.mark.parametrize(("key", "why"), [
    ("decode_tps", "not measured"), ("ttft", "not measured"), ("energy", "unreadable: no counter"),
    ("memory", "no peak was measured"),
])  # fmt: skip
def test_a_failed_row_knows_nothing(key, why):
    found = METRICS[key].read(failed())
    assert (found.value, found.why) == (None, why)


@pytest.mark.parametrize("quality", [None, {"kl": None, "top1": None}])
def test_quality_that_was_not_examined_says_why(quality):
    found = METRICS["kl"].read(row(quality=quality, quality_reason="no log-probabilities"))
    assert (found.value, found.why) == (None, "no log-probabilities")
    assert METRICS["top1"].read(row(quality=quality)).why == "not examined"


def test_a_launch_without_the_figure_leaves_no_values_by_block():
    """Which block the others belong to is then unknown."""
    whole = row()
    found = METRICS["decode_tps"].read(row(blocks=[0, 1, 2, 3, 4, 5]))
    assert found.launches == {}
    assert list(METRICS["decode_tps"].read(whole).launches) == [0, 1, 2, 3, 4]
    each = {**whole["each_launch"], "energy_j_per_token": [1.0, None, 1.0, 1.0, 1.0]}
    energy = METRICS["energy"].read(row(energy_j_per_token=1.0, each_launch=each))
    assert (energy.value, energy.low, energy.launches) == (1.0, None, {})


def test_of_a_launch_that_reads_zero_there_is_no_ratio():
    each = {"energy_j_per_token": [1.0, 0.0, 1.0, 1.0, 1.0]}
    measured = row(energy_j_per_token=1.0, each_launch=each)
    assert launches(measured, METRICS["energy"]) == {}
    assert len(launches(measured, METRICS["itl"])) == 5


def test_energy_of_five_launches_has_an_interval():
    each = {"energy_j_per_token": [1.0, 1.1, 0.9, 1.2, 1.05]}
    found = METRICS["energy"].read(row(energy_j_per_token=1.05, each_launch=each))
    assert (found.value, found.low, found.high) == (1.05, 0.9, 1.2)
