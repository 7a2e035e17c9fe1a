"""Finding and choosing devices, on machines that do not exist."""

import inspect
import json
import re
import shlex
import subprocess
import sys
from types import SimpleNamespace

import pynvml
import pytest

from orchestrator.base.errors import UserError
from orchestrator.base.version import VERSION
from orchestrator.machine import detect
from orchestrator.machine.detect import Device
from orchestrator.machine.devices import choose_device
from orchestrator.machine.host import SUITE, Host
from orchestrator.sandbox import device_access
from tests.support.machines import FakeDocker, FakeGpu, FakeNvml, add_amd_gpu, linux_machine, write

A, B = "GPU-aaaa1111-0000-0000-0000-000000000001", "GPU-bbbb2222-0000-0000-0000-000000000002"
M1, M2 = "MIG-cccc3333-0000-0000-0000-000000000003", "MIG-cccc4444-0000-0000-0000-000000000004"
NO_DRIVER = FakeNvml(error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)


@pytest.fixture
def host(tmp_path):
    return Host(linux_machine(tmp_path), "Linux", "x86_64", affinity=range(4))


@pytest.fixture
def two(host):
    return detect.detect(FakeNvml([FakeGpu(A), FakeGpu(B)]), host)


@pytest.fixture
def none(host):
    return detect.detect(NO_DRIVER, host)


def choose(requested, gpus, found, env=None):
    lines = []
    device = choose_device(requested, gpus, lines.append, detections=found, env=env or {})
    assert len(lines) == 1
    assert "\n" not in lines[0]
    return device, lines[0]


def refusal(requested, gpus, found, env=None):
    """The one line of a refusal."""
    with pytest.raises(UserError) as caught:
        choose_device(requested, gpus, lambda line: None, detections=found, env=env or {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- finding -----------------------------------------------------------------------------------------------------------


def test_the_fake_nvml_has_only_functions_of_the_real_one():
    for name, function in inspect.getmembers(FakeNvml, inspect.isfunction):
        if name.startswith("nvml"):
            real = list(inspect.signature(getattr(pynvml, name)).parameters)
            fake = list(inspect.signature(function).parameters)[1:]
            assert fake == real[: len(fake)], name


def test_importing_the_module_imports_no_gpu_library():
    code = (
        "import sys, orchestrator.machine.devices as _; print({'pynvml', 'docker', 'torch'} & set(sys.modules) or [])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=SUITE, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_two_gpus_are_found_with_their_properties_and_nvml_is_closed(host):
    nvml = FakeNvml([FakeGpu(A), FakeGpu(B, "NVIDIA L4", gib=None, capability=(8, 9))])
    found = detect.detect(nvml, host)["cuda"]
    assert found.reason is None
    first, second = found.devices
    assert (first.name, first.ids, first.memory_mib) == ("NVIDIA H100 80GB HBM3", (A,), 80 * 1024)
    assert first.detail["driver"] == "550.54.15"
    assert first.detail["cuda"] == "12.4"
    assert first.detail["gpus"][0]["compute_capability"] == "9.0"
    assert second.memory_mib is None  # unreadable is unknown, not zero
    assert nvml.open == 0


@pytest.mark.parametrize(
    ("error", "words", "broken"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "libnvidia-ml.so not found", False),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "kernel module is not loaded", True),
        (pynvml.NVML_ERROR_NO_PERMISSION, "no permission", True),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "reboot", True),
        (pynvml.NVML_ERROR_UNKNOWN, "NVML says: Unknown Error", True),
    ],
)
def test_each_nvml_error_has_a_plain_reason(host, error, words, broken):
    found = detect.detect(FakeNvml(error=error), host)["cuda"]
    assert not found.devices
    assert words in found.reason
    assert found.broken is broken


def test_a_lost_gpu_does_not_hide_the_others_and_indices_stay(host):
    found = detect.detect(FakeNvml([FakeGpu(A, lost=True), FakeGpu(B)]), host)
    assert [d.ids for d in found["cuda"].devices] == [(B,)]
    assert "GPU 0" in found["cuda"].reason
    assert choose("cuda", "1", found)[0].ids == (B,)
    assert "no GPU '0'" in refusal("cuda", "0", found)


def test_amd_gpus_are_read_from_the_kernel_in_numeric_node_order(tmp_path, host):
    add_amd_gpu(tmp_path, 10, 136)
    add_amd_gpu(tmp_path, 2, 128)
    add_amd_gpu(tmp_path, 11, 137, name="AMD Instinct MI250X", gfx=90010)
    display = "/sys/class/kfd/kfd/topology/nodes/12/properties"
    write(tmp_path, {display: "simd_count 0\ndrm_render_minor 138"})  # no compute units: nothing to measure on
    found = detect.detect(NO_DRIVER, host)["rocm"]
    assert found.devices[2].detail["gpus"][0]["arch"] == "gfx90a"
    assert [d.ids for d in found.devices] == [("renderD128",), ("renderD136",), ("renderD137",)]
    assert found.devices[0].name == "AMD Instinct MI300X"
    assert found.devices[0].memory_mib == 192 * 1024
    assert found.devices[0].detail["gpus"][0]["arch"] == "gfx942"


def test_amd_driver_without_a_usable_gpu_says_so(tmp_path, host):
    write(tmp_path, {"/dev/kfd": "", "/sys/class/kfd/kfd/topology/nodes/0/properties": "simd_count 0"})
    found = detect.detect(NO_DRIVER, host)["rocm"]
    assert found.broken
    assert "no GPU that can compute" in found.reason


@pytest.mark.parametrize(("machine", "count", "words"), [("arm64", 1, None), ("x86_64", 0, "Rosetta")])
def test_metal_needs_apple_silicon(tmp_path, machine, count, words):
    answers = {"machdep.cpu.brand_string": "Apple M3 Max"}
    host = Host(tmp_path, "Darwin", machine, affinity=[0], command=lambda c: answers.get(c[-1]))
    found = detect.detect(NO_DRIVER, host)["metal"]
    assert len(found.devices) == count
    if count:
        assert found.devices[0].name == "Apple M3 Max"
    else:
        assert words in found.reason


# -- choosing ----------------------------------------------------------------------------------------------------------


def test_auto_takes_the_first_gpu_and_names_the_others(two):
    device, line = choose("auto", None, two)
    assert device.ids == (A,)
    assert "first of 2 GPUs" in line
    assert "--gpus 1" in line


def test_auto_prefers_cuda_then_rocm_then_cpu_and_says_why(tmp_path, host, none):
    device, line = choose("auto", None, none)
    assert device.kind == "cpu"
    assert device.name == "Example Xeon 8480 (2 cores)"
    assert "libnvidia-ml.so not found" in line
    assert "/dev/kfd not found" in line
    add_amd_gpu(tmp_path, 1, 128)
    assert choose("auto", None, detect.detect(NO_DRIVER, host))[0].kind == "rocm"
    assert choose("auto", None, detect.detect(FakeNvml([FakeGpu(A)]), host))[0].kind == "cuda"


def test_cuda_without_a_gpu_says_what_is_missing_and_what_to_do(none):
    line = refusal("cuda", None, none)
    assert "libnvidia-ml.so not found" in line
    assert "nvidia-smi" in line
    assert "--device auto" in line


@pytest.mark.parametrize(
    ("typed", "first"), [("cdua", "cuda"), ("gpu", "cuda"), ("amd", "rocm"), ("mps", "metal"), ("CPU", "cpu")]
)
def test_an_unknown_device_is_answered_with_the_closest_first(none, typed, first):
    line = refusal(typed, None, none)
    assert f"did you mean {first!r}?" in line
    listed = line.split("valid: ")[1].split(", ")
    assert listed[0] == first
    assert sorted(listed) == ["auto", "cpu", "cuda", "metal", "rocm"]


@pytest.mark.parametrize(
    ("gpus", "ids"),
    [("1", (B,)), ("1,0", (B, A)), (A, (A,)), ("GPU-bb", (B,)), ("bbbb2222", (B,)), ("gpu-AAAA, 1", (A, B))],
)
def test_gpus_are_named_by_index_uuid_or_its_beginning(two, gpus, ids):
    device, line = choose("cuda", gpus, two)
    assert device.ids == ids
    assert f"--gpus {gpus}" in line


def test_several_gpus_are_one_device_with_their_memory_summed(two):
    device, _ = choose("auto", "0,1", two)
    assert device.name == "2 x NVIDIA H100 80GB HBM3"
    assert device.memory_mib == 160 * 1024
    assert [gpu["uuid"] for gpu in device.detail["gpus"]] == [A, B]


@pytest.mark.parametrize(
    ("gpus", "words"),
    [
        ("2", "no GPU '2'"),
        ("-1", "no GPU '-1'"),
        ("", "no GPU ''"),
        ("0,", "no GPU ''"),
        ("0,0", "'0' is named twice"),
        (f"0,{A}", "is named twice"),
        ("GPU-", "fits several GPUs"),
        ("GPU-zz", "no GPU 'GPU-zz'"),
    ],
)
def test_bad_gpu_lists_are_refused_with_what_there_is(two, gpus, words):
    assert words in refusal("cuda", gpus, two)
    if "twice" not in words:
        assert f"0 ({A}), 1 ({B})" in refusal("cuda", gpus, two)


def test_gpus_with_a_device_that_has_none(two, none):
    assert "no meaning with --device cpu" in refusal("cpu", "0", two)
    assert "no cuda (no NVIDIA driver" in refusal("auto", "0", none)


def test_cuda_visible_devices_is_honoured_and_mentioned(two):
    env = {"CUDA_VISIBLE_DEVICES": "1"}
    device, line = choose("auto", None, two, env)
    assert device.ids == (B,)
    assert "CUDA_VISIBLE_DEVICES=1" in line
    device, line = choose("auto", "0", two, env)  # what is asked for on the command line wins
    assert device.ids == (A,)
    assert "CUDA_VISIBLE" not in line
    assert "no GPU '7'" in refusal("auto", None, two, {"CUDA_VISIBLE_DEVICES": "7"})


@pytest.mark.parametrize("value", ["", "-1", "-1,0"])
def test_cuda_visible_devices_can_hide_every_gpu(two, value):
    device, line = choose("auto", None, two, {"CUDA_VISIBLE_DEVICES": value})
    assert device.kind == "cpu"
    assert "hides every GPU" in line
    assert "Install" not in refusal("cuda", None, two, {"CUDA_VISIBLE_DEVICES": value})  # nothing needs installing


def test_hip_counts_within_what_rocr_leaves_visible(tmp_path, host):
    for i in range(3):
        add_amd_gpu(tmp_path, 1 + i, 128 + i)
    found = detect.detect(NO_DRIVER, host)
    env = {"ROCR_VISIBLE_DEVICES": "1,2", "HIP_VISIBLE_DEVICES": "1"}
    assert choose("rocm", None, found, env)[0].ids == ("renderD130",)


def test_mig_instances_are_taken_and_their_parent_is_not(host):
    found = detect.detect(FakeNvml([FakeGpu(A, mig=[FakeGpu(M1, gib=10), FakeGpu(M2, gib=10)])]), host)
    assert choose("cuda", None, found)[0].ids == (M1,)
    assert choose("cuda", M2, found)[0].ids == (M2,)
    assert choose("cuda", "0:1", found)[0].ids == (M2,)
    line = refusal("cuda", "0", found)
    assert "split by MIG" in line
    assert M1 in line
    assert "one MIG instance at a time" in refusal("cuda", "0:0,0:1", found)
    empty = detect.detect(FakeNvml([FakeGpu(A, mig=[])]), host)
    assert "no instance" in refusal("cuda", None, empty)
    assert choose("auto", None, empty)[0].kind == "cpu"


# -- keys --------------------------------------------------------------------------------------------------------------


def test_keys_are_safe_file_names_and_tell_devices_apart(two, none):
    one, both = choose("cuda", "0", two)[0], choose("cuda", "0,1", two)[0]
    swapped = choose("cuda", "1,0", two)[0]
    odd = Device("rocm", "x", ("../Evil/ü",), None, {})
    for device in (one, both, odd, none["cpu"].devices[0]):
        assert re.fullmatch(r"[a-z0-9_-]{1,64}", device.key)
    assert len({one.key, both.key, swapped.key}) == 3
    assert both.lock_keys == swapped.lock_keys == (f"cuda-{A.lower()}", f"cuda-{B.lower()}")
    assert none["cpu"].devices[0].key == "cpu"


# -- handing over ------------------------------------------------------------------------------------------------------


def test_docker_gets_exactly_the_chosen_gpus_by_uuid(two):
    client = FakeDocker()
    client.containers.create("image", **device_access.docker_options(choose("cuda", "1,0", two)[0]))
    assert client.host_configs[0]["DeviceRequests"] == [
        {"Driver": "nvidia", "Count": 0, "DeviceIDs": [B, A], "Capabilities": [["gpu"]], "Options": {}}
    ]


def test_docker_flags_survive_the_shell(two):
    one, both = choose("cuda", "0", two)[0], choose("cuda", "0,1", two)[0]
    assert shlex.join(device_access.docker_flags(one)) == f"--gpus device={A}"
    assert shlex.join(device_access.docker_flags(both)) == f"""--gpus '"device={A},{B}"'"""


def test_rocm_passes_its_nodes_and_the_numbers_of_their_groups(tmp_path, host):
    add_amd_gpu(tmp_path, 1, 128)
    add_amd_gpu(tmp_path, 2, 129)
    device, _ = choose("rocm", "1", detect.detect(NO_DRIVER, host))
    owners = {tmp_path / "dev/kfd": 109, tmp_path / "dev/dri/renderD129": 44}

    def stat(path):
        return SimpleNamespace(st_gid=owners[path])

    client = FakeDocker()
    client.containers.create("image", **device_access.docker_options(device, host, stat))
    config = client.host_configs[0]
    assert [(d["PathOnHost"], d["CgroupPermissions"]) for d in config["Devices"]] == [
        ("/dev/kfd", "rwm"),
        ("/dev/dri/renderD129", "rwm"),
    ]
    assert config["GroupAdd"] == ["44", "109"]
    assert device_access.docker_flags(device, host, stat) == [
        "--device=/dev/kfd",
        "--device=/dev/dri/renderD129",
        "--group-add=44",
        "--group-add=109",
    ]
    (tmp_path / "dev/dri/renderD129").unlink()
    with pytest.raises(UserError, match="/dev/dri/renderD129: No such file"):
        device_access.docker_options(device, host)


def test_cpu_needs_nothing_and_metal_cannot_be_had_in_a_container(none):
    cpu = none["cpu"].devices[0]
    assert device_access.docker_options(cpu) == {}
    assert device_access.docker_flags(cpu) == []
    assert device_access.venv_environment(cpu) == {}
    metal = Device("metal", "Apple M3 Max", ("metal",), None, {})
    for hand_over in (device_access.docker_options, device_access.docker_flags):
        with pytest.raises(UserError, match="--isolation venv"):
            hand_over(metal)
    assert device_access.venv_environment(metal) == {}


def test_processes_outside_containers_are_confined_by_environment(tmp_path, host, two):
    assert device_access.venv_environment(choose("cuda", "1,0", two)[0]) == {"CUDA_VISIBLE_DEVICES": f"{B},{A}"}
    for i in range(3):
        add_amd_gpu(tmp_path, 1 + i, 128 + i)
    device, _ = choose("rocm", "2,0", detect.detect(NO_DRIVER, host))
    assert device_access.venv_environment(device) == {"ROCR_VISIBLE_DEVICES": "2,0", "HIP_VISIBLE_DEVICES": "0,1"}


# -- the processor -----------------------------------------------------------------------------------------------------


def test_hyperthreads_count_once_and_affinity_limits(tmp_path):
    root = linux_machine(tmp_path, cpus=8, threads_per_core=2)
    assert Host(root, "Linux", "x86_64", affinity=range(8)).default_threads() == 4
    assert Host(root, "Linux", "x86_64", affinity=[0, 1, 2]).default_threads() == 2


@pytest.mark.parametrize(
    ("files", "threads"),
    [
        ({"/sys/fs/cgroup/user.slice/cpu.max": "max 100000"}, 4),
        ({"/sys/fs/cgroup/user.slice/cpu.max": "250000 100000"}, 2),
        ({"/sys/fs/cgroup/cpu.max": "50000 100000"}, 1),  # set by a parent; never less than one thread
        (
            {
                "/sys/fs/cgroup/cgroup.controllers": None,
                "/proc/self/cgroup": "5:cpu,cpuacct:/job\n0::/",
                "/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": 300000,
                "/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": 100000,
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": 2**63 - 4096,
            },
            3,
        ),
    ],
)
def test_a_cpu_quota_limits_the_threads(tmp_path, files, threads):
    root = linux_machine(tmp_path, cpus=4, threads_per_core=1)
    for name in [name for name, content in files.items() if content is None]:
        (root / name.lstrip("/")).unlink()
    write(root, {name: content for name, content in files.items() if content is not None})
    host = Host(root, "Linux", "x86_64", affinity=range(4))
    assert host.default_threads() == threads
    assert host.memory_mib()["limit"] is None  # version 1's huge number means "no limit"


def test_a_memory_limit_of_the_control_group_is_read(tmp_path):
    root = write(linux_machine(tmp_path), {"/sys/fs/cgroup/user.slice/memory.max": 8 * 1024**3})
    assert Host(root, "Linux", "x86_64", affinity=[0]).memory_mib()["limit"] == 8 * 1024


def test_the_features_digest_follows_model_and_flags_only(tmp_path):
    def digest(name, **kwargs):
        return Host(linux_machine(tmp_path / name, **kwargs), "Linux", "x86_64", affinity=[0]).cpu_features_digest()

    same = digest("a", flags="avx2 fma")
    assert re.fullmatch(r"[0-9a-f]{12}", same)
    assert digest("b", flags="fma avx2", cpus=8) == same
    assert digest("c", flags="avx2 fma amx_tile") != same


def test_facts_are_json_and_unknown_is_none(tmp_path):
    bare = Host(tmp_path / "nothing", "Linux", "riscv64", affinity=[0], command=lambda c: None).facts()
    json.dumps(bare)
    unknown = ["cpu_model", "cpu_flags", "governor", "turbo", "clock_source", "virtualised", "memory_total_mib"]
    unknown += ["cgroup_version", "os", "cache_kib", "cpu_quota"]
    assert {name: bare[name] for name in unknown} == dict.fromkeys(unknown)
    assert bare["suite"] == {"version": VERSION, "commit": None, "dirty": None}
    assert bare["default_threads"] == 1
    full = Host(linux_machine(tmp_path / "server"), "Linux", "x86_64", affinity=range(4)).facts()
    assert (full["governor"], full["turbo"], full["clock_source"]) == ("performance", False, "tsc")
    assert (full["virtualised"], full["cgroup_version"]) == (False, 2)
    assert full["os"] == "Debian GNU/Linux 12 (bookworm)"
    assert full["memory_total_mib"] == 65536
    assert full["cpu_flags"] == ["amx_tile", "avx2", "avx512_vnni", "avx512f", "fpu", "sse2"]


def test_the_commit_of_a_surrounding_repository_is_not_taken_for_the_suites(tmp_path):
    def git(*words):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True)

    git("init")
    write(tmp_path, {"suite/file": "x"})
    git("add", ".")
    git("commit", "-m", "one")
    assert Host().git_state(tmp_path / "suite") == {"commit": None, "dirty": None}
    state = Host().git_state(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{40}", state["commit"])
    assert state["dirty"] is False
    write(tmp_path, {"suite/file": "y"})
    assert Host().git_state(tmp_path)["dirty"] is True
