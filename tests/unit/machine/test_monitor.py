"""The monitor and its probes: NVML and AMD SMI that are made up, /sys and /proc in folders, a clock set by hand."""

import inspect
import json
import os
import re
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pynvml
import pytest

from orchestrator.machine.detect import Device
from orchestrator.machine.host import MIB, SUITE, Host
from orchestrator.machine.monitor import amd, nvidia, sampling
from orchestrator.machine.monitor.amd import AmdProbe
from orchestrator.machine.monitor.nvidia import NvidiaProbe
from orchestrator.machine.monitor.probes import Probe
from orchestrator.machine.monitor.processor import CpuProbe
from orchestrator.machine.monitor.sampling import Monitor, default_probes
from tests.support.machines import FakeNvml, linux_machine, write

A, B, M = "GPU-aaaa1111", "GPU-bbbb2222", "MIG-cccc3333"
NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED
SECOND = 1_000_000_000


class Clock:
    """CLOCK_MONOTONIC, moved by hand."""

    def __init__(self):
        self.ns = 1000 * SECOND

    def __call__(self):
        return self.ns

    def forward(self, seconds):
        self.ns += int(seconds * SECOND)


class Card:
    """One GPU. `errors` maps a function's name to the NVML error that it raises."""

    def __init__(self, uuid, **readings):
        self.uuid, self.errors, self.whole = uuid, {}, None
        self.mj, self.mw, self.sm, self.memory, self.celsius = 5_000_000, 100_000, 1980, 2619, 40
        self.reasons, self.used, self.processes, self.limit_mw = 0, 500 * MIB, [], 700_000
        self.__dict__.update(readings)

    def answer(self, value):
        function = inspect.currentframe().f_back.f_code.co_name
        if function in self.errors:
            raise pynvml.NVMLError(self.errors[function])
        return value


class Nvml(FakeNvml):
    """Cards that answer what the probe asks of them."""

    def __init__(self, *cards, error=None):
        super().__init__(cards, error, driver="580.95.05")
        self.cards = {card.uuid: card for card in cards}

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if uuid not in self.cards:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return self.cards[uuid].answer(self.cards[uuid])

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, migDevice):
        return migDevice.whole

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return handle.answer(handle.mj)

    def nvmlDeviceGetPowerUsage(self, handle):
        return handle.answer(handle.mw)

    def nvmlDeviceGetPowerManagementLimit(self, handle):
        return handle.answer(handle.limit_mw)

    def nvmlDeviceGetClockInfo(self, handle, type):
        return handle.answer({pynvml.NVML_CLOCK_SM: handle.sm, pynvml.NVML_CLOCK_MEM: handle.memory}[type])

    def nvmlDeviceGetTemperatureV(self, handle, sensor):
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return handle.answer(handle.celsius)

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return handle.celsius

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):
        return handle.answer(handle.reasons)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        return handle.answer(handle.reasons)

    def nvmlDeviceGetMemoryInfo(self, handle):
        return handle.answer(SimpleNamespace(total=80 * 1024 * MIB, used=handle.used, free=0))

    def nvmlDeviceGetUtilizationRates(self, handle):
        return handle.answer(SimpleNamespace(gpu=90, memory=50))

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return handle.answer([SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in handle.processes])

    def nvmlDeviceGetPersistenceMode(self, handle):
        return handle.answer(1)

    def nvmlDeviceGetMigMode(self, device):
        return device.answer([0, 0])

    def nvmlDeviceGetEccMode(self, handle):
        return handle.answer([1, 1])


@pytest.fixture
def clock():
    return Clock()


def device(kind, *ids):
    return Device(kind, "made up", ids or (kind,), None, {})


def watching(clock, *cards, pids=None):
    """A monitor of these cards, opened, without a thread."""
    ids = tuple(card.uuid for card in cards)
    monitor = Monitor(device("cuda", *ids), [NvidiaProbe(ids, Nvml(*cards))], clock=clock)
    if pids is not None:
        monitor.watch(lambda: pids)
    monitor.open()
    return monitor


def take(monitor, clock, seconds, change=lambda: None, every=0.5):
    for _ in range(round(seconds / every)):
        monitor.sample()
        change()
        clock.forward(every)


# -- NVML --------------------------------------------------------------------------------------------------------------


def test_the_probe_and_its_fake_use_only_what_the_real_nvml_has():
    called = set(re.findall(r"nvml[A-Z]\w+", inspect.getsource(nvidia)))
    assert len(called) > 15
    assert [name for name in called if not hasattr(pynvml, name)] == []
    for name, function in inspect.getmembers(Nvml, inspect.isfunction):
        if name.startswith("nvml"):
            real = list(inspect.signature(getattr(pynvml, name)).parameters)
            fake = list(inspect.signature(function).parameters)[1:]
            assert fake == real[: len(fake)], name
    assert {"NVML_CLOCK_SM", "NVML_CLOCK_MEM", "NVML_TEMPERATURE_GPU", "NVML_ERROR_GPU_IS_LOST"} <= set(dir(pynvml))


def test_importing_the_package_imports_no_gpu_library():
    probes = "orchestrator.machine.monitor.nvidia, orchestrator.machine.monitor.amd"
    code = f"import sys, {probes}; print({{'pynvml', 'amdsmi'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=SUITE, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_one_gpu_is_read_in_the_documented_units(clock):
    card = Card(A, reasons=0x4)
    monitor = watching(clock, card)
    monitor.sample()
    card.mj += 5000
    clock.forward(0.05)
    monitor.sample()
    record = monitor.stop()
    assert json.loads(json.dumps(record)) == record
    assert record["t_ns"] == [1000 * SECOND, 1000 * SECOND + 50_000_000]
    assert record["series"] == {
        "energy_j": [5000.0, 5005.0],
        "power_w": [100.0, 100.0],
        "sm_clock_mhz": [1980, 1980],
        "throttle": [4, 4],
        "device_used_mib": [500.0, 500.0],
        "memory_clock_mhz": [2619, None],  # four times a second
        "temperature_c": [40, None],
        "utilization": [90, None],
    }
    assert record["energy_source"] == "NVML energy counter"
    assert record["flags"] == ["power_capped"]
    facts = {"driver": "580.95.05", "power_limit_w": 700.0, "persistence": True, "mig": False, "ecc": True}
    assert record["static"] == {**facts, "governor": None, "turbo": None, "cpu_max_mhz": None}
    assert record["unavailable"] == {}


def test_several_gpus_are_summed_at_the_lowest_clock_and_the_highest_temperature(clock):
    cards = Card(A, reasons=0x1, celsius=61), Card(B, mj=7_000_000, mw=50_000, sm=1410, reasons=0x20, used=300 * MIB)
    monitor = watching(clock, *cards)
    monitor.sample()
    cards[1].errors["nvmlDeviceGetPowerUsage"] = pynvml.NVML_ERROR_TIMEOUT
    monitor.sample()
    record = monitor.stop()
    assert {name: values[0] for name, values in record["series"].items()} == {
        "energy_j": 12000.0,
        "power_w": 150.0,
        "sm_clock_mhz": 1410,
        "throttle": 0x21,
        "device_used_mib": 800.0,
        "memory_clock_mhz": 2619,
        "temperature_c": 61,
        "utilization": 90.0,
    }
    assert record["series"]["power_w"] == [150.0, None]  # of one unknown: the sum is unknown, not smaller
    assert record["static"]["power_limit_w"] == 1400.0
    assert record["flags"] == ["throttled"]


def test_without_an_energy_counter_the_power_is_integrated(clock):
    card = Card(A, errors={"nvmlDeviceGetTotalEnergyConsumption": NOT_SUPPORTED})
    monitor = watching(clock, card)
    take(monitor, clock, 2, lambda: setattr(card, "mw", card.mw + 100_000))
    record = monitor.stop()
    assert record["series"]["power_w"] == [100.0, 200.0, 300.0, 400.0]
    assert record["series"]["energy_j"] == [0.0, 75.0, 200.0, 375.0]  # trapezia of 0.5 s
    assert record["energy_source"] == "NVML power, integrated"
    assert record["unavailable"] == {"energy": "NVML: Not Supported"}


def test_a_mig_instance_has_memory_but_no_energy(clock):
    part = Card(M, used=700 * MIB, errors={"nvmlDeviceGetClockInfo": NOT_SUPPORTED})
    part.whole = Card(A, sm=1755, used=9000 * MIB)
    monitor = watching(clock, part)
    monitor.sample()
    record = monitor.stop()
    assert record["series"].keys().isdisjoint({"energy_j", "power_w"})
    assert record["energy_source"] is None
    assert "whole GPU's" in record["unavailable"]["energy"]
    assert record["series"]["device_used_mib"] == [700.0]
    assert record["series"]["sm_clock_mhz"] == [1755]  # the clock is the whole GPU's in any case


def test_older_drivers_are_asked_by_the_older_names(clock):
    old = pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
    names = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetTemperatureV")
    monitor = watching(clock, Card(A, reasons=0x40, errors=dict.fromkeys(names, old)))
    monitor.sample()
    record = monitor.stop()
    assert record["series"]["throttle"] == [0x40]
    assert record["series"]["temperature_c"] == [40]
    assert record["unavailable"] == {}


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_UNKNOWN])
def test_a_lost_gpu_ends_the_probe_and_says_so(clock, code):
    card = Card(A)
    monitor = watching(clock, card)
    monitor.sample()
    card.errors["nvmlDeviceGetTotalEnergyConsumption"] = code
    monitor.sample()
    card.errors.clear()
    monitor.sample()
    record = monitor.stop()
    assert record["flags"] == ["gpu_lost"]
    assert record["unavailable"]["nvml"].startswith("NVML: ")
    assert record["series"]["energy_j"] == [5000.0, None, None]


def test_an_unknown_error_of_what_never_worked_is_no_lost_gpu(clock):
    monitor = watching(clock, Card(A, errors={"nvmlDeviceGetUtilizationRates": pynvml.NVML_ERROR_UNKNOWN}))
    monitor.sample()
    record = monitor.stop()
    assert record["flags"] == []
    assert record["unavailable"] == {"utilization": "NVML: Unknown Error"}


@pytest.mark.parametrize(
    ("nvml", "ids", "words"),
    [
        (Nvml(error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND), (A,), "NVML Shared Library Not Found"),
        (Nvml(Card(A)), (B,), "Not Found"),
    ],
)
def test_no_nvml_leaves_a_record_with_the_reason(clock, nvml, ids, words):
    monitor = Monitor(device("cuda", *ids), [NvidiaProbe(ids, nvml)], clock=clock)
    monitor.open()
    monitor.sample()
    record = monitor.stop()
    assert words in record["unavailable"]["nvml"]
    assert words in record["unavailable"]["energy"]
    assert (record["series"], record["peak_device_mib"], record["energy_source"]) == ({}, None, None)
    assert nvml.open == 0


# -- memory and processes ----------------------------------------------------------------------------------------------


def test_the_peak_is_that_of_the_launchs_processes_where_the_driver_tells(clock):
    card = Card(A, processes=[(77, 300 * MIB)])
    monitor = watching(clock, card, pids={10, 11})
    take(monitor, clock, 1)
    monitor.mark("launch")
    card.processes, card.used = [(10, 1000 * MIB), (11, 200 * MIB), (77, 300 * MIB)], 2000 * MIB
    take(monitor, clock, 1)
    card.processes = [(10, 900 * MIB)]
    take(monitor, clock, 1)
    record = monitor.stop()
    assert record["series"]["process_mib"] == [None, None, 1200.0, 1200.0, 900.0, 900.0]
    assert (record["peak_device_mib"], record["peak_device_source"]) == (1200.0, "NVML, this launch's processes")
    assert record["baseline_device_mib"] == 500.0


@pytest.mark.parametrize("processes", [[(10, None)], [], [(4321, 900 * MIB)]])
def test_else_it_is_what_the_device_holds_more_than_before(clock, processes):
    card = Card(A)
    monitor = watching(clock, card, pids={10})
    take(monitor, clock, 1)
    monitor.mark("launch")
    card.processes, card.used = processes, 2000 * MIB
    take(monitor, clock, 3)
    card.used = 1500 * MIB
    take(monitor, clock, 1)
    record = monitor.stop()
    assert "process_mib" not in record["series"]
    assert (record["peak_device_mib"], record["peak_device_source"]) == (1500.0, "NVML, device minus baseline")
    # A stranger alone, seen only during the launch, may be ours under another number
    assert record["flags"] == []


@pytest.mark.parametrize(
    ("before", "during", "seconds", "shared"),
    [
        ([], [(10, MIB)], 4, False),
        ([], [(10, MIB), (77, MIB)], 4, True),
        ([], [(10, MIB), (77, MIB)], 1, False),  # may be a child of ours that is not known yet
        ([(77, MIB)], [(77, MIB)], 4, True),
        ([(77, MIB)], [(10, MIB)], 4, False),  # it left in time
    ],
)
def test_others_on_the_device_are_noticed(clock, before, during, seconds, shared):
    card = Card(A, processes=before)
    monitor = watching(clock, card, pids={10})
    take(monitor, clock, 3)
    monitor.mark("launch")
    clock.forward(0.1)
    card.processes = during
    take(monitor, clock, seconds)
    card.processes = []
    take(monitor, clock, 1)
    assert ("device_shared" in monitor.stop()["flags"]) is shared


def test_pids_are_asked_once_a_second_and_a_failure_is_noted(clock):
    asked = []

    def pids():
        asked.append(clock.ns)
        if len(asked) == 3:
            raise OSError("no such container")
        return {10}

    monitor = watching(clock, Card(A))
    monitor.watch(pids)
    take(monitor, clock, 3, every=0.05)
    record = monitor.stop()
    assert len(asked) == 3
    assert record["unavailable"] == {"pids": "OSError: no such container"}


# -- AMD SMI -----------------------------------------------------------------------------------------------------------


class Smi:
    """Stands in for the module amdsmi as its Python reference (ROCm 7.2) describes it."""

    AmdSmiClkType = SimpleNamespace(GFX="gfx", MEM="mem")
    AmdSmiTemperatureType = SimpleNamespace(HOTSPOT="hotspot")
    AmdSmiTemperatureMetric = SimpleNamespace(CURRENT="current")

    def __init__(self, *addresses):
        self.addresses, self.open = addresses, 0
        self.energy = {"energy_accumulator": 2_000_000, "power": 2_000_000, "counter_resolution": 15.5, "timestamp": 1}
        self.power = {"socket_power": 400, "average_socket_power": "N/A", "power_limit": 750}
        self.metrics = {"indep_throttle_status": "N/A", "ppt_residency_acc": 5, "socket_thm_residency_acc": 1}
        self.celsius, self.clock = 65, {"clk": 2100, "min_clk": 132, "max_clk": 2100, "clk_locked": "N/A"}
        self.processes = []

    def amdsmi_init(self):
        self.open += 1

    def amdsmi_shut_down(self):
        self.open -= 1

    def amdsmi_get_processor_handles(self):
        return list(self.addresses)

    def amdsmi_get_gpu_device_bdf(self, handle):
        return handle.upper()

    def amdsmi_get_gpu_driver_info(self, handle):
        return {"driver_name": "amdgpu", "driver_version": "6.14.14", "driver_date": "N/A"}

    def amdsmi_get_energy_count(self, handle):
        return self.energy

    def amdsmi_get_power_info(self, handle):
        return self.power

    def amdsmi_get_clock_info(self, handle, clock_type):
        return self.clock if clock_type == "gfx" else {**self.clock, "clk": 1300}

    def amdsmi_get_temp_metric(self, handle, sensor_type, metric):
        return self.celsius

    def amdsmi_get_gpu_activity(self, handle):
        return {"gfx_activity": 97, "umc_activity": 40, "mm_activity": "N/A"}

    def amdsmi_get_gpu_vram_usage(self, handle):
        return {"vram_total": 196592, "vram_used": 283}

    def amdsmi_get_gpu_metrics_info(self, handle):
        return self.metrics

    def amdsmi_get_gpu_process_list(self, handle):
        return [
            {"pid": pid, "name": "python", "mem": size, "memory_usage": {"gtt_mem": 0, "cpu_mem": 0, "vram_mem": size}}
            for pid, size in self.processes
        ]


def of_amd(tmp_path, clock, smi, *nodes):
    for i, node in enumerate(nodes):
        address = tmp_path / f"sys/devices/0000:{i + 1}3:00.0"
        address.mkdir(parents=True)
        write(tmp_path, {f"/sys/class/drm/{node}/dev": "226:128"})
        (tmp_path / f"sys/class/drm/{node}/device").symlink_to(address)
    monitor = Monitor(device("rocm", *nodes), [AmdProbe(nodes, smi, Host(tmp_path))], clock=clock)
    monitor.watch(lambda: {10})
    monitor.open()
    return monitor


def test_an_amd_gpu_is_read_in_the_documented_units(tmp_path, clock):
    smi = Smi("0000:03:00.0", "0000:13:00.0")
    smi.processes = [(10, 1000 * MIB), (99, 0)]
    monitor = of_amd(tmp_path, clock, smi, "renderD128")
    monitor.sample()
    clock.forward(0.5)
    smi.metrics = {**smi.metrics, "ppt_residency_acc": 6}
    monitor.sample()
    record = monitor.stop()
    assert record["series"] == {
        "energy_j": [31.0, 31.0],
        "power_w": [400, 400],
        "sm_clock_mhz": [2100, 2100],
        "device_used_mib": [283, 283],
        "memory_clock_mhz": [1300, 1300],
        "temperature_c": [65, 65],
        "utilization": [97, 97],
        "throttle": [0, 0x4],
        "process_mib": [1000.0, 1000.0],
    }
    assert record["peak_device_source"] == "amdsmi, this launch's processes"
    assert (record["static"]["driver"], record["static"]["power_limit_w"]) == ("6.14.14", 750)
    assert record["unavailable"] == {}
    assert smi.open == 0


def test_older_releases_of_amdsmi_are_understood(tmp_path, clock):
    smi = Smi("0000:13:00.0")
    smi.energy = {"power": 1_000_000, "counter_resolution": 15.25, "timestamp": 1}
    smi.power = {"average_socket_power": 300, "current_socket_power": "N/A", "power_limit": 300_000_000}
    smi.celsius, smi.clock, smi.metrics = 61_000, {"cur_clk": 1700}, {"indep_throttle_status": 1 << 36}
    monitor = of_amd(tmp_path, clock, smi, "renderD128")
    monitor.sample()
    record = monitor.stop()
    first = {name: values[0] for name, values in record["series"].items()}
    assert (first["energy_j"], first["power_w"]) == (15.25, 300)
    assert (first["sm_clock_mhz"], first["temperature_c"]) == (1700, 61)
    assert record["static"]["power_limit_w"] == 300
    assert record["flags"] == ["throttled"]


def test_without_amdsmi_the_reason_says_where_it_comes_from(tmp_path, clock, monkeypatch):
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    record = of_amd(tmp_path, clock, None, "renderD128").stop()
    assert "/opt/rocm/share/amd_smi" in record["unavailable"]["amdsmi"]
    other = of_amd(tmp_path / "other", clock, Smi("0000:99:00.0"), "renderD128").stop()
    assert "lists no GPU at 0000:13:00.0" in other["unavailable"]["energy"]
    assert "it has never run on an AMD GPU" in amd.__doc__


# -- the processor -----------------------------------------------------------------------------------------------------


def test_the_processors_state_is_read_once_a_second(tmp_path, clock):
    cpu, tick = "/sys/devices/system/cpu", 1 / os.sysconf("SC_CLK_TCK")
    root = linux_machine(tmp_path, cpus=4)
    stat = "cpu  1 0 1 9 0 0 0 250 0 0\ncpu0 1 0 1 9 0 0 0 9"
    files = {"/proc/loadavg": "0.52 0.40 0.30 1/100 99", "/proc/stat": stat}
    for n in range(4):
        files[f"{cpu}/cpu{n}/cpufreq/scaling_cur_freq"] = 2_000_000 + n * 100_000
        files[f"{cpu}/cpu{n}/cpufreq/cpuinfo_max_freq"] = 3_500_000
        files[f"{cpu}/cpu{n}/topology/physical_package_id"] = n // 2
        files[f"{cpu}/cpu{n}/thermal_throttle/package_throttle_count"] = 5 + n // 2  # the package's, at each CPU
    write(root, files)
    monitor = Monitor(device("cpu"), [CpuProbe(Host(root, "Linux", "x86_64"))], clock=clock)
    monitor.open()
    take(monitor, clock, 1)
    monitor.mark("launch")
    take(monitor, clock, 1)
    write(root, {f"{cpu}/cpu2/thermal_throttle/package_throttle_count": 8})
    take(monitor, clock, 0.5)
    record = monitor.stop()
    assert record["series"] == {
        "cpu_mhz": [2150.0, None, 2150.0, None, 2150.0],
        "cpu_throttles": [11, None, 11, None, 13],
        "load1": [0.52, None, 0.52, None, 0.52],
        "steal_s": [250 * tick, None, 250 * tick, None, 250 * tick],
    }
    assert record["flags"] == ["throttled"]
    static = record["static"]
    assert (static["governor"], static["turbo"], static["cpu_max_mhz"]) == ("performance", False, 3500.0)
    assert record["unavailable"] == {"energy": "nothing here reads the energy of a cpu device"}


def test_a_machine_that_tells_nothing_gives_reasons_and_no_zeros(tmp_path, clock):
    monitor = Monitor(device("metal"), [CpuProbe(Host(tmp_path, "Linux", "riscv64"))], clock=clock)
    monitor.open()
    monitor.sample()
    record = monitor.stop()
    assert record["series"] == {}
    assert set(record["static"].values()) == {None}
    assert record["unavailable"].keys() == {"cpu_mhz", "cpu_throttles", "load1", "steal_s", "energy"}
    assert "powermetrics" in record["unavailable"]["energy"]
    assert record["baseline_device_mib"] is record["peak_device_mib"] is record["peak_device_source"] is None


# -- the monitor and its thread ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "names"),
    [("cuda", ["nvml", "cpu"]), ("rocm", ["amdsmi", "cpu"]), ("cpu", ["rapl", "cpu"]), ("metal", ["cpu"])],
)
def test_every_kind_of_device_has_its_probes(kind, names):
    assert [probe.name for probe in default_probes(device(kind))] == names


class Script(Probe):
    """Does what it is told."""

    name = "script"

    def __init__(self, act=lambda: {"x": 1}):
        super().__init__()
        self.act, self.closed = act, 0

    def sample(self, now_ns, pids):
        return self.act()

    def close(self):
        self.closed += 1


def test_a_probe_that_fails_is_dropped_and_the_others_go_on(clock):
    broken, good = Script(lambda: 1 / 0), Script()
    monitor = Monitor(device("cpu"), [broken, good], clock=clock)
    monitor.sample()
    monitor.sample()
    record = monitor.stop()
    assert record["unavailable"]["script"] == "ZeroDivisionError: division by zero"
    assert record["series"] == {"x": [1, 1]}
    assert broken.closed == good.closed == 1


def test_a_series_that_begins_late_is_padded_and_one_without_a_value_left_out(clock):
    answers = iter([{"x": 1, "never": None}, {"y": 2}, {}])
    monitor = Monitor(device("cpu"), [Script(lambda: next(answers))], clock=clock)
    for _ in range(3):
        monitor.sample()
    assert monitor.stop()["series"] == {"x": [1, None, None], "y": [None, 2, None]}


def test_samples_that_make_no_sense_do_not_cost_the_run(clock):
    monitor = Monitor(device("cpu"), [Script(lambda: {"power_w": "N/A"})], clock=clock)
    monitor.sample()
    monitor.sample()
    record = monitor.stop()
    assert record["series"] == {}
    assert record["unavailable"]["monitor"].startswith("TypeError")


def test_nothing_sampled_is_a_record_too():
    record = Monitor(device("cpu"), []).stop()
    assert (record["t_ns"], record["series"], record["flags"], record["marks"]) == ([], {}, [], {})


def test_the_thread_samples_until_stopped_and_closes_the_probes():
    probe = Script()
    monitor = Monitor(device("cpu"), [probe], interval_s=0.01)
    monitor.start()
    monitor.idle(0.05)
    monitor.mark("launch")
    time.sleep(0.05)
    ended = time.monotonic_ns()
    record = monitor.stop()
    assert probe.closed == 1
    assert len(record["t_ns"]) == len(record["series"]["x"]) > 3
    assert record["t_ns"] == sorted(record["t_ns"])
    assert record["t_ns"][0] < record["marks"]["launch"] < ended <= record["t_ns"][-1]
    assert not [thread for thread in threading.enumerate() if thread.name == "monitor"]
    assert monitor.stop()["t_ns"] == record["t_ns"]


def test_a_driver_that_hangs_does_not_hold_up_the_run(monkeypatch):
    monkeypatch.setattr(Monitor, "PATIENCE_S", 0.05)
    let_go = threading.Event()
    monitor = Monitor(device("cpu"), [Script(lambda: let_go.wait(10) and {})])
    monitor.start()
    record = monitor.stop()
    let_go.set()
    assert record["flags"] == ["monitor_hung"]
    assert "does not answer" in record["unavailable"]["monitor"]


def test_a_dear_probe_is_sampled_less_often():
    def burn():
        until = time.thread_time() + 0.01
        while time.thread_time() < until:
            pass
        return {"x": 1}

    monitor = Monitor(device("cpu"), [Script(burn)], interval_s=0.01)
    began = time.monotonic()
    monitor.start()
    time.sleep(0.5)
    record = monitor.stop()
    took = time.monotonic() - began
    # One second's worth is lent, and the sample that overdraws and the last one come on top
    assert len(record["t_ns"]) <= sampling.CPU_SHARE * (took + 1) / 0.01 + 2
    assert record["flags"] == ["monitor_slowed"]


def test_the_monitor_takes_little_of_this_machine():
    probe = CpuProbe()
    monitor = Monitor(device("cpu"), [probe])
    monitor.start()
    monitor.idle(1.0)
    record = monitor.stop()
    assert record["monitor_cpu_s"] <= 2.5 * sampling.CPU_SHARE  # the goal is 1; opening is in it, and other tests run
    assert len(record["t_ns"]) >= 10
