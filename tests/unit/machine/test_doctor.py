"""The doctor, called to machines that do not exist."""

import io
import os
import re
import socket
import tempfile
from types import SimpleNamespace

import pynvml
import pytest

from orchestrator.machine.doctor import surroundings
from orchestrator.machine.doctor.diagnosis import Finding
from orchestrator.machine.doctor.examination import examine, render
from orchestrator.machine.doctor.surroundings import Machine, foreign_load
from orchestrator.machine.host import Host
from tests.support.machines import DOCKER_INFO, FakeDocker, FakeGpu, FakeNvml, add_amd_gpu, linux_machine, write

GIB = 1024**3
NO_DRIVER = FakeNvml(error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
TOOLS = ("apt-get", "docker", "cc", "c++", "debootstrap")


def doctor(root, *, info=DOCKER_INFO, error=None, nvml=NO_DRIVER, tools=TOOLS, system="Linux", **fields):
    """A healthy server without a GPU, changed as the test wants; its findings by name."""
    machine = Machine(
        host=Host(root, system, "arm64" if system == "Darwin" else "x86_64", range(4), command=lambda c: None),
        nvml=nvml,
        cache=root / "not/made/yet",
        **{
            "docker": lambda: FakeDocker(info, error),
            "which": lambda name: f"/usr/bin/{name}" if name in tools else None,
            "access": lambda path, mode: True,
            "disk_free": lambda path: 100 * GIB,
            "load": lambda: (0.0, []),
            "has_module": lambda name: True,
            "other_sockets": (),
            **fields,
        },
    )
    findings = examine(machine)
    assert len({f.check for f in findings}) == len(findings)
    for finding in findings:
        assert finding.status == "ok" or finding.remedy, finding
    return {f.check: f for f in findings}


@pytest.fixture
def root(tmp_path):
    return linux_machine(tmp_path)


def socket_error(cause):
    """An exception as the Docker SDK raises it: the socket's own error is three wrappers down."""
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        try:
            raise ConnectionError("('Connection aborted.', …)") from cause
        except ConnectionError as middle:
            raise DockerException(f"Error while fetching server API version: {middle}") from middle
    except DockerException as outer:
        return outer


def test_a_healthy_server_without_a_gpu_has_nothing_to_mend(root):
    found = doctor(root)
    assert {name for name, f in found.items() if f.status != "ok"} == {"nvidia-driver", "nvidia-toolkit", "amd-gpu"}
    assert {f.status for f in found.values()} == {"ok", "absent"}
    assert found["docker"].what == "Docker 28.2.2 answers"


# -- Docker ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "tools", "status", "what", "remedy"),
    [
        (PermissionError(13, "Permission denied"), TOOLS, "fail", "refuses this user", "usermod -aG docker"),
        (FileNotFoundError(2, "No such file"), ("apt-get",), "absent", "not installed", "apt-get install docker.io"),
        (FileNotFoundError(2, "No such file"), ("dnf",), "absent", "not installed", "dnf install moby-engine"),
        (FileNotFoundError(2, "No such file"), (), "absent", "not installed", "install docker.io"),
        (FileNotFoundError(2, "No such file"), TOOLS, "fail", "not running", "systemctl start docker"),
        (ConnectionRefusedError(111, "refused"), TOOLS, "fail", "not running", "systemctl start docker"),
        (TimeoutError("timed out"), TOOLS, "fail", "does not answer", "DOCKER_HOST"),
    ],
)
def test_why_docker_does_not_answer_is_told_apart(root, cause, tools, status, what, remedy):
    found = doctor(root, error=socket_error(cause), tools=tools)
    assert found["docker"].status == status
    assert what in found["docker"].what
    assert remedy in found["docker"].remedy
    assert "memory-limit" not in found  # nobody to ask


def test_the_error_of_the_real_sdk_is_understood(root):
    import docker  # noqa: PLC0415

    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own are too long for a socket's name on macOS
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"{folder}/dead")
        for name in ("dead", "missing"):
            found = doctor(root, docker=lambda n=name: docker.DockerClient(base_url=f"unix://{folder}/{n}", timeout=2))
            assert "not running" in found["docker"].what


def test_a_socket_at_another_place_is_pointed_out(root, tmp_path):
    write(tmp_path, {"home/.docker/run/docker.sock": ""})
    other = tmp_path / "home/.docker/run/docker.sock"
    found = doctor(root, error=socket_error(FileNotFoundError(2, "no")), other_sockets=(tmp_path / "no", other))
    assert found["docker"].remedy == f"export DOCKER_HOST=unix://{other}"


@pytest.mark.parametrize(
    ("driver", "status", "words"),
    [("overlay2", "ok", "overlay2"), ("fuse-overlayfs", "ok", "user space"), ("vfs", "warn", "full copy")],
)
def test_storage_driver(root, driver, status, words):
    finding = doctor(root, info={**DOCKER_INFO, "Driver": driver})["docker-storage"]
    assert finding.status == status
    assert words in finding.what


@pytest.mark.parametrize(
    ("info", "cgroup", "limit", "words"),
    [
        ({}, "ok", "ok", "can be limited"),
        ({"CgroupVersion": "1"}, "warn", "ok", "can be limited"),
        ({"MemoryLimit": False, "SwapLimit": False}, "ok", "fail", "takes the host with it"),
        ({"SwapLimit": False}, "ok", "warn", "swap limits do not"),
    ],
)
def test_control_groups_and_limits(root, info, cgroup, limit, words):
    found = doctor(root, info={**DOCKER_INFO, **info})
    assert found["cgroup"].status == cgroup
    assert found["memory-limit"].status == limit
    assert words in found["memory-limit"].what


def test_without_swap_nobody_misses_a_swap_limit(root):
    write(root, {"/proc/meminfo": "MemTotal: 67108864 kB\nMemAvailable: 60000000 kB\nSwapTotal: 0 kB"})
    assert doctor(root, info={**DOCKER_INFO, "SwapLimit": False})["memory-limit"].status == "ok"


def test_cgroup_version_1_is_seen_without_docker(root):
    (root / "sys/fs/cgroup/cgroup.controllers").unlink()
    (root / "sys/fs/cgroup/memory").mkdir()
    assert doctor(root, error=socket_error(FileNotFoundError()))["cgroup"].what.startswith("version 1")


# -- accelerators ------------------------------------------------------------------------------------------------------


def test_two_gpus_with_the_toolkit(root):
    found = doctor(root, nvml=FakeNvml([FakeGpu("GPU-1"), FakeGpu("GPU-2", "NVIDIA L4")]))
    assert found["nvidia-driver"].status == found["nvidia-toolkit"].status == "ok"
    assert found["nvidia-driver"].what == (
        "2 GPUs: NVIDIA H100 80GB HBM3, NVIDIA L4; driver 550.54.15, CUDA up to 12.4"
    )


def test_mig_instances_are_not_counted_as_gpus(root):
    found = doctor(root, nvml=FakeNvml([FakeGpu("GPU-1", mig=[FakeGpu("MIG-1"), FakeGpu("MIG-2")])]))
    assert found["nvidia-driver"].what.startswith("1 GPU: ")


def test_a_lost_gpu_is_a_warning(root):
    found = doctor(root, nvml=FakeNvml([FakeGpu("GPU-1"), FakeGpu("GPU-2", lost=True)]))
    assert found["nvidia-driver"].status == "warn"
    assert "GPU 1" in found["nvidia-driver"].what


@pytest.mark.parametrize(
    ("info", "tools", "status", "words"),
    [
        ({}, TOOLS, "fail", "no NVIDIA Container Toolkit"),
        ({}, (*TOOLS, "nvidia-container-runtime-hook"), "ok", "is installed"),
        ({"CDISpecDirs": ["/etc/cdi"]}, TOOLS, "warn", "too old"),
        ({"CDISpecDirs": ["/etc/cdi"], "ServerVersion": "29.0.1"}, TOOLS, "ok", "nvidia.yaml"),
        ({"CDISpecDirs": ["/var/run/cdi"], "ServerVersion": "29.0.1"}, TOOLS, "fail", "no NVIDIA Container Toolkit"),
    ],
)
def test_a_driver_without_the_runtime(root, info, tools, status, words):
    write(root, {"/etc/cdi/nvidia.yaml": "kind: nvidia.com/gpu", "/var/run/cdi/other.yaml": "kind: example.org/fpga"})
    plain = {**DOCKER_INFO, "Runtimes": {"runc": {}}}
    found = doctor(root, nvml=FakeNvml([FakeGpu("GPU-1")]), info={**plain, **info}, tools=tools)["nvidia-toolkit"]
    assert found.status == status
    assert words in found.what
    if status != "ok":
        assert "nvidia-ctk runtime configure" in found.remedy


def test_an_nvidia_card_without_a_driver_is_a_failure_no_card_is_not(root):
    assert doctor(root)["nvidia-driver"].status == "absent"
    write(root, {"/sys/bus/pci/devices/0000:01:00.1/vendor": "0x10de"})
    write(root, {"/sys/bus/pci/devices/0000:01:00.1/class": "0x040300"})  # its sound device is no GPU
    assert doctor(root)["nvidia-driver"].status == "absent"
    write(root, {"/sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de"})
    write(root, {"/sys/bus/pci/devices/0000:01:00.0/class": "0x030200"})
    found = doctor(root)["nvidia-driver"]
    assert found.status == "fail"
    assert "0000:01:00.0" in found.what
    assert "install the NVIDIA driver" in found.remedy


def test_a_broken_driver_is_a_failure(root):
    found = doctor(root, nvml=FakeNvml(error=pynvml.NVML_ERROR_DRIVER_NOT_LOADED))["nvidia-driver"]
    assert (found.status, "not loaded" in found.what) == ("fail", True)


def test_amd_gpu_and_its_permissions(root):
    add_amd_gpu(root, 1, 128)
    assert doctor(root)["amd-gpu"].what == "AMD Instinct MI300X"
    found = doctor(root, access=lambda path, mode: path != root / "dev/kfd")["amd-gpu"]
    assert found.status == "warn"
    assert found.what.endswith("may not open /dev/kfd")
    assert "usermod -aG render,video" in found.remedy


def test_a_mac_has_metal_and_no_control_groups(tmp_path):
    found = doctor(tmp_path, system="Darwin", error=socket_error(ConnectionRefusedError()), tools=("brew", "docker"))
    assert "--isolation venv" in found["metal"].what
    assert "cgroup" not in found
    assert found["docker"].remedy == "open -a Docker"
    assert found["compiler"].remedy == "xcode-select --install"


# -- the host ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("free", "status"), [(100, "ok"), (19, "warn"), (4, "fail")])
def test_disk(root, free, status):
    seen = []

    def disk_free(path):
        seen.append(path)
        return free * GIB

    found = doctor(root, disk_free=disk_free)
    assert found["disk-cache"].status == found["disk-docker"].status == status
    assert seen == [root, root / "var/lib/docker"]  # the cache folder is not made yet: its nearest parent counts
    assert f"{free} GiB free" in found["disk-cache"].what


def test_a_docker_folder_elsewhere_is_not_guessed_at(root):
    assert doctor(root, info={**DOCKER_INFO, "DockerRootDir": "/else"})["disk-docker"].status == "absent"


def test_memory(root):
    assert doctor(root)["memory"].what == "57.2 of 64.0 GiB available"
    write(root, {"/sys/fs/cgroup/user.slice/memory.max": 2 * GIB})
    found = doctor(root)["memory"]
    assert found.status == "warn"
    assert "limited to 2.0 GiB" in found.what


def test_cpu_features_name_what_gains(root, tmp_path):
    found = doctor(root)["cpu"]
    assert found.what.startswith("Example Xeon 8480, 2 cores")
    assert "VNNI (int8 and int4)" in found.what
    assert "AMX" in found.what
    assert "BF16" not in found.what
    old = doctor(linux_machine(tmp_path / "old", flags="sse2"))["cpu"]
    assert (old.status, "AVX2" in old.what) == ("warn", True)


def test_a_clock_that_follows_load_and_heat_is_a_warning(root):
    cpu = "/sys/devices/system/cpu"
    write(root, {f"{cpu}/cpu1/cpufreq/scaling_governor": "powersave", f"{cpu}/intel_pstate/no_turbo": 0})
    found = doctor(root)
    assert found["governor"].what.startswith("performance,powersave")
    assert "scaling_governor" in found["governor"].remedy
    assert found["turbo"].status == "warn"
    assert "no_turbo" in found["turbo"].remedy
    (root / cpu.lstrip("/") / "intel_pstate/no_turbo").unlink()
    assert doctor(root)["turbo"].status == "absent"
    write(root, {f"{cpu}/cpufreq/boost": 1})
    assert "cpufreq/boost" in doctor(root)["turbo"].remedy


@pytest.mark.parametrize(("source", "status"), [("tsc", "ok"), ("arch_sys_counter", "ok"), ("hpet", "warn")])
def test_clock_source(root, source, status):
    write(root, {"/sys/devices/system/clocksource/clocksource0/current_clocksource": source})
    assert doctor(root)["clock-source"].status == status


def test_foreign_load_names_the_busiest(root):
    assert doctor(root, load=lambda: (0.04, []))["foreign-load"].status == "ok"
    found = doctor(root, load=lambda: (1.5, ["make (pid 7)"]))["foreign-load"]
    assert (found.status, found.what) == ("warn", "others use 1.50 cores right now (make (pid 7))")


def test_foreign_load_counts_everybody_but_this_process(monkeypatch):
    # (pid, name, seconds used) at the beginning and at the end of one second; the machine: 3 s busy, 0.5 of them stolen
    rounds = [
        [(os.getpid(), "me", 10.0), (32, "kworker/1:1-events", 90.0), (50, "make", 5.0)],
        [(os.getpid(), "me", 10.9), (32, "kworker/1:1-writeback", 90.0), (50, "make", 6.5), (51, "cc", 0.4)],
    ]
    machine = [
        SimpleNamespace(user=100.0, nice=0.0, system=50.0, steal=7.0),
        SimpleNamespace(user=102.0, nice=0.3, system=50.2, steal=7.5),
    ]
    own, clock = [10.0, 10.9], [0.0, 1.0]

    def process_iter(attributes):
        for pid, name, used in rounds.pop(0):
            yield SimpleNamespace(info={"pid": pid, "name": name, "cpu_times": SimpleNamespace(user=used, system=0.0)})

    fake_psutil = SimpleNamespace(process_iter=process_iter, cpu_times=lambda: machine.pop(0))
    monkeypatch.setattr(surroundings, "psutil", fake_psutil)
    fake_time = SimpleNamespace(monotonic=lambda: clock.pop(0), process_time=lambda: own.pop(0), sleep=lambda s: None)
    monkeypatch.setattr(surroundings, "time", fake_time)
    cores, busiest = foreign_load(1.0)
    assert cores == pytest.approx(3.0 - 0.9)
    assert busiest == ["make (pid 50)", "cc (pid 51)"]  # a kernel worker that changed its name has done nothing


def test_foreign_load_reads_this_machine():
    cores, busiest = foreign_load(0.05)
    assert 0 <= cores < os.cpu_count() + 1
    assert not any(f"(pid {os.getpid()})" in name for name in busiest)


def test_missing_tools_come_with_the_command_that_brings_them(root):
    found = doctor(root, tools=("apt-get",), has_module=lambda name: name != "ensurepip")
    assert found["python-venv"].status == "fail"
    assert found["python-venv"].remedy == "sudo apt-get install python3-venv"
    assert found["compiler"].remedy == "sudo apt-get install g++"
    assert found["debootstrap"].status == "absent"  # a remark only
    assert doctor(root, tools=("dnf", "gcc"))["compiler"].remedy == "sudo dnf install gcc gcc-c++"


# -- findings and their print ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["warn", "fail", "absent"])
def test_a_finding_without_a_remedy_is_refused(status):
    with pytest.raises(ValueError, match="remedy"):
        Finding("x", status, "something")


class Terminal(io.StringIO):
    def isatty(self):
        return True


FINDINGS = [
    Finding("docker", "ok", "Docker 28 answers"),
    Finding("clock-source", "warn", "word " * 40, "echo tsc | sudo tee /" + "a-long-path/" * 12),
    Finding("nvidia-toolkit", "absent", "not needed", "nothing to do"),
]


def test_render_is_plain_within_100_columns_and_keeps_commands_whole():
    text = render(FINDINGS, io.StringIO(), {})
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[0] == "ok      docker          Docker 28 answers"
    assert all(len(line) <= 100 for line in lines if "a-long-path" not in line)
    assert "a-long-path/" * 12 in text  # to be copied: never broken in two
    assert "nothing to do" not in text
    assert lines[-1] == "1 ok, 1 warn, 0 fail, 1 absent"


def test_colour_only_on_a_terminal_that_takes_it():
    assert "\x1b[33mwarn" in render(FINDINGS, Terminal(), {"TERM": "xterm"})
    assert "\x1b" not in render(FINDINGS, Terminal(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert "\x1b" not in render(FINDINGS, Terminal(), {"TERM": "dumb"})
    plain, coloured = render(FINDINGS, io.StringIO(), {}), render(FINDINGS, Terminal(), {})
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


def test_this_very_machine_can_be_examined():
    findings = examine(Machine(load=lambda: foreign_load(0.05)))
    names = [finding.check for finding in findings]
    assert {"docker", "nvidia-driver", "amd-gpu", "disk-cache", "memory", "cpu", "python-venv"} <= set(names)
    assert render(findings).count("\n") > len(findings)
