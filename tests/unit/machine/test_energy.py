"""Energy per token, from counters whose course is known by hand; and the processor's counters themselves."""

import json
import os
from bisect import bisect_right

import pynvml
import pytest

from orchestrator.machine.detect import Device
from orchestrator.machine.host import Host
from orchestrator.machine.monitor import energy
from orchestrator.machine.monitor.energy import flags, integrate, per_token
from orchestrator.machine.monitor.probes import Unavailable
from orchestrator.machine.monitor.rapl import RaplProbe
from orchestrator.machine.monitor.sampling import Monitor
from tests.support.machines import linux_machine, write

S = 1_000_000_000
NVML = "NVML energy counter"


def record(powers, interval=0.1, update=0.1, launch=2.0, source=NVML, until=10.0, **more):
    """Samples every `interval` s of a counter that moves every `update` s; `powers` are (from s, W), in order."""

    def joules(t):
        spans = zip(powers, [*powers[1:], (float("inf"), 0)], strict=True)
        return sum(watts * (min(t, end) - start) for (start, watts), (end, _) in spans if t > start)

    count = round(until / interval) + 1
    t_ns = [round(i * interval * S) for i in range(count)]
    ticks = [round(i * update, 9) for i in range(round(until / update) + 1)]
    values = [round(joules(ticks[bisect_right(ticks, t / S + 1e-9) - 1]), 6) for t in t_ns]
    return {
        "t_ns": t_ns,
        "marks": {"launch": round(launch * S)},
        "series": {"energy_j": values},
        "energy_source": source,
        "unavailable": {},
        "flags": [],
        **more,
    }


def spans(*times):
    """(start s, end s, tokens) → in ns."""
    return [(round(start * S), round(end * S), tokens) for start, end, tokens in times]


def test_energy_of_two_iterations_by_hand():
    # 100 W idle until 2 s, then 300 W: 2 × 2 s × 300 W = 1200 J; of these 4 s × 100 W would have gone idle
    result = per_token(record([(0, 100), (2, 300)]), spans((3, 5, 100), (6, 8, 100)))
    assert result == {
        "energy_j_per_token": pytest.approx(6.0),
        "energy_idle_subtracted_j_per_token": pytest.approx(4.0),
        "idle_power_w": pytest.approx(100.0),
        "source": NVML,
        "validity": "ok",
    }
    json.dumps(result)


def test_borders_between_samples_are_interpolated():
    result = per_token(record([(0, 100), (2, 300), (5, 500)]), spans((3.04, 5.03, 10)))
    assert result["energy_j_per_token"] == pytest.approx((1.96 * 300 + 0.03 * 500) / 10)


def test_a_counter_that_stands_still_between_its_updates_is_no_power_of_zero():
    # Sampled four times as often as it moves: a line through the samples themselves would be 20 J off at each border
    slow = record([(0, 100), (2, 300)], interval=0.05, update=0.2)
    result = per_token(slow, spans((3.15, 7.35, 1)))
    assert result["energy_j_per_token"] == pytest.approx(4.2 * 300)
    assert result["validity"] == "ok"  # 21 updates


@pytest.mark.parametrize(("update", "validity"), [(0.1, "ok"), (0.5, "coarse")])
def test_too_few_updates_within_the_iterations_are_coarse(update, validity):
    result = per_token(record([(0, 300)], interval=0.05, update=update), spans((3.01, 3.55, 1), (4.01, 4.56, 1)))
    assert result["validity"] == validity
    assert result["energy_j_per_token"] == pytest.approx(300 * 1.09 / 2)


def test_an_iteration_counts_only_its_own_updates():
    many = spans(*[(3 + 0.6 * i, 3.05 + 0.6 * i, 5) for i in range(6)])  # 6 × 50 ms, one update in each
    assert per_token(record([(0, 300)]), many)["validity"] == "coarse"


def test_who_else_was_counted():
    measured = spans((3, 8, 100))
    assert per_token(record([(0, 300)], flags=["device_shared"]), measured)["validity"] == "shared"
    rapl = per_token(record([(0, 50), (2, 80)], source="RAPL energy counter"), measured)
    assert (rapl["validity"], rapl["source"]) == ("shared", "RAPL energy counter")
    assert rapl["energy_idle_subtracted_j_per_token"] == pytest.approx(5 * 30 / 100)


def test_a_load_lost_in_the_noise_is_printed_as_it_is():
    result = per_token(record([(0, 100), (2, 98)]), spans((3, 8, 10)))
    assert result["energy_idle_subtracted_j_per_token"] == pytest.approx(-1.0)


def test_idle_power_comes_from_the_counter_else_from_the_power_readings_else_it_is_unknown():
    measured = spans((3, 8, 10))
    short = record([(0, 100), (0.2, 300)], launch=0.2)
    assert per_token(short, measured)["idle_power_w"] is None
    short["series"]["power_w"] = [90.0, None, 110.0] + [300.0] * (len(short["t_ns"]) - 3)
    assert per_token(short, measured)["idle_power_w"] == pytest.approx(100.0)
    unmarked = per_token(record([(0, 300)], marks={}), measured)
    assert unmarked["energy_j_per_token"] == pytest.approx(150)
    assert unmarked["idle_power_w"] is unmarked["energy_idle_subtracted_j_per_token"] is None


def absent():
    nothing = record([(0, 1)], unavailable={"energy": "NVML: Not Supported"}, source=None)
    return {**nothing, "series": {"load1": []}}


def reset():
    broken = record([(0, 300)])
    broken["series"]["energy_j"][50:] = [float(i) for i in range(51)]
    return broken


def ended():
    lost = record([(0, 300)])
    lost["series"]["energy_j"][60:] = [None] * 41
    return lost


@pytest.mark.parametrize(
    ("made", "measured", "why"),
    [
        (absent(), spans((3, 8, 10)), "NVML: Not Supported"),
        (record([(0, 300)]), [], "no measured tokens"),
        (reset(), spans((3, 8, 10)), "the counter was reset"),
        (ended(), spans((3, 8, 10)), "outside the time that was sampled"),
        (record([(0, 300)]), spans((3, 11, 10)), "outside the time that was sampled"),
    ],
)
def test_what_cannot_be_read_is_null_with_the_reason(made, measured, why):
    result = per_token(made, measured)
    assert result["validity"].startswith("unreadable: ")
    assert why in result["validity"]
    numbers = ("energy_j_per_token", "energy_idle_subtracted_j_per_token", "idle_power_w")
    assert {result[name] for name in numbers} == {None}


def test_single_samples_without_a_value_are_stepped_over():
    holes = record([(0, 100), (2, 300)])
    for i in (31, 32, 50, 77):
        holes["series"]["energy_j"][i] = None
    assert per_token(holes, spans((3.15, 7.75, 1)))["energy_j_per_token"] == pytest.approx(4.6 * 300)


def test_power_is_integrated_by_trapezia_over_uneven_times():
    assert integrate([0, S, 3 * S, 4 * S], [100, 200, None, 400]) == [0.0, 150.0, None, 1050.0]
    assert integrate([0], [None]) == [None]


@pytest.mark.parametrize(
    ("bits", "counts", "expected"),
    [
        ([0x20, 0x20, 0x1, 0x1], [], []),  # before the launch
        ([0, 0, 0x20, 0], [], ["throttled"]),
        ([0, 0, None, 0x8], [], ["throttled"]),
        ([0, 0, 0x40, 0x4], [], ["power_capped", "throttled"]),
        ([0, 0, 0x80, 0], [], ["throttled"]),
        ([0, 0, 0x113, 0x103], [], []),  # idle, application clocks, sync boost, display: nothing is slowed by heat
        ([], [3, None, 3, None], []),
        ([], [1, None, 3, None], ["throttled"]),
        ([], [None, None, None, 4], []),  # one reading shows no growth
    ],
)
def test_slowdowns_during_the_launch_are_flagged(bits, counts, expected):
    series = {"throttle": bits, "cpu_throttles": counts}
    made = {"t_ns": [0, 1, 2, 3], "marks": {"launch": 2}, "series": series, "flags": []}
    made["marks"]["launch"] = 2 if bits else 1
    assert flags(made) == expected
    assert flags({**made, "flags": ["gpu_lost", *expected]}) == sorted(["gpu_lost", *expected])


def test_the_bits_are_nvmls():
    names = ("SwPowerCap", "HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown")
    real = [getattr(pynvml, f"nvmlClocksEventReason{name}") for name in names]
    assert real == [energy.POWER_CAP, energy.HW_SLOWDOWN, energy.SW_THERMAL, energy.HW_THERMAL, energy.POWER_BRAKE]


# -- RAPL --------------------------------------------------------------------------------------------------------------


def rapl_machine(root, flags="fpu", **zones):
    write(linux_machine(root, flags=flags), {"/sys/class/powercap/.keep": ""})
    for zone, (name, microjoules, wrap) in zones.items():
        folder = f"/sys/class/powercap/{zone.replace('_', ':').replace('rapl', 'intel-rapl').replace('mmio', '-mmio')}"
        write(root, {f"{folder}/name": name, f"{folder}/energy_uj": microjoules, f"{folder}/max_energy_range_uj": wrap})
    return Host(root, "Linux", "x86_64")


def test_packages_and_memory_are_summed_once_and_counters_wrap(tmp_path):
    host = rapl_machine(
        tmp_path,
        rapl_0=("package-0", 900_000, 1_000_000),
        rapl_0_0=("core", 1, 1_000_000),
        rapl_0_1=("dram", 500_000, 4_000_000),
        rapl_1=("package-1", 100_000, 1_000_000),
        rapl_2=("psys", 7, 1_000_000),
        raplmmio_0=("package-0", 900_000, 1_000_000),
    )
    probe = RaplProbe(host)
    probe.open()
    taken = [probe.sample(0, None)["energy_j"]]
    powercap = tmp_path / "sys/class/powercap"
    for package0, dram, package1 in ((100_000, 600_000, 150_000), (300_000, 600_001, 50_000)):
        (powercap / "intel-rapl:0/energy_uj").write_text(f"{package0}\n")
        (powercap / "intel-rapl:0:1/energy_uj").write_text(f"{dram}\n")
        (powercap / "intel-rapl:1/energy_uj").write_text(f"{package1}\n")
        taken.append(probe.sample(0, None)["energy_j"])
    probe.close()
    assert taken == [0, 0.35, 1.450001]  # 0.2 + 0.1 + 0.05, then 0.2 + 0.000001 + 0.9 J


@pytest.mark.parametrize(
    ("flags", "system", "words"),
    [
        ("fpu", "Linux", "modprobe intel_rapl_msr"),
        ("hypervisor", "Linux", "virtual machine"),
        ("fpu", "Darwin", "Darwin"),
    ],
)
def test_missing_counters_have_a_plain_reason(tmp_path, flags, system, words):
    rapl_machine(tmp_path, flags)
    probe = RaplProbe(Host(tmp_path, system, "x86_64", command=lambda c: None))
    monitor = Monitor(Device("cpu", "made up", ("cpu",), None, {}), [probe])
    monitor.open()
    assert words in monitor.stop()["unavailable"]["energy"]


def test_counters_for_root_only_come_with_the_remedy(tmp_path, monkeypatch):
    open_file = os.open

    def refuse(path, *arguments, **options):
        if str(path).endswith("energy_uj"):
            raise PermissionError(13, "Permission denied")
        return open_file(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Unavailable, match=r"CVE-2020-8694.*sudo chmod a\+r"):
        RaplProbe(rapl_machine(tmp_path, rapl_0=("package-0", 1, 2))).open()
