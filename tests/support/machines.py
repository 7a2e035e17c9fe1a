"""Made-up machines: an NVML with any GPUs, a Docker client that records its calls, folders like /proc and /sys."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import docker
import pynvml
from docker.models.containers import RUN_CREATE_KWARGS, RUN_HOST_CONFIG_KWARGS

GIB = 1024**3


class FakeGpu:
    """One GPU, or with `mig` (a list of FakeGpu) one that is split up; `lost` makes its handle unreadable."""

    def __init__(self, uuid, name="NVIDIA H100 80GB HBM3", gib=80, capability=(9, 0), mig=None, lost=False):
        self.uuid, self.name, self.gib, self.capability, self.mig, self.lost = uuid, name, gib, capability, mig, lost


class FakeNvml:
    """Stands in for the module pynvml. Errors are the real ones; only what is defined here can be called."""

    NVMLError = pynvml.NVMLError

    def __init__(self, gpus=(), error: int | None = None, driver="550.54.15", cuda=12040):
        self.gpus, self.error, self.driver, self.cuda = list(gpus), error, driver, cuda
        self.open = 0

    def __getattr__(self, name):
        if name.startswith("NVML_"):
            return getattr(pynvml, name)
        raise AttributeError(name)

    def nvmlInit(self):
        if self.error is not None:
            raise pynvml.NVMLError(self.error)
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlSystemGetDriverVersion(self):
        return self.driver

    def nvmlSystemGetCudaDriverVersion_v2(self):
        return self.cuda

    def nvmlDeviceGetCount(self):
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index):
        if self.gpus[index].lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, handle):
        return handle.uuid

    def nvmlDeviceGetName(self, handle):
        return handle.name

    def nvmlDeviceGetMemoryInfo(self, handle):
        if handle.gib is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(total=handle.gib * GIB, used=0, free=handle.gib * GIB)

    def nvmlDeviceGetCudaComputeCapability(self, handle):
        return handle.capability

    def nvmlDeviceGetMigMode(self, device):
        if device.mig is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, device):
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device, index):
        if index >= len(device.mig):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return device.mig[index]


class FakeContainer:
    """A container whose calls are recorded too, as "container.start" and so on."""

    def __init__(self, client, name, exit_code=0):
        self._client, self.name, self.id, self._exit_code = client, name, "f" * 64, exit_code
        self.attrs = {"State": {"OOMKilled": False}}

    def wait(self, **kwargs):
        self._client.calls.append(("container.wait", (), kwargs))
        return {"StatusCode": self._exit_code}

    def logs(self, **kwargs):
        self._client.calls.append(("container.logs", (), kwargs))
        return b"said by the container\n"

    def __getattr__(self, name):
        if name not in ("start", "stop", "kill", "remove", "put_archive", "reload"):
            raise AttributeError(name)

        def call(*args, **kwargs):
            self._client.calls.append((f"container.{name}", args, kwargs))

        return call


class FakeDocker:
    """A Docker client without a daemon. `calls` holds (name, args, kwargs) in order.

    What is asked of `containers.create` goes through the SDK's own translation: an argument that the real client
    would refuse is refused here, and `host_configs` holds what the daemon would have been sent.
    """

    def __init__(self, info: dict | None = None, error: BaseException | None = None):
        self.calls: list[tuple[str, tuple, dict]] = []
        self.host_configs: list[dict] = []
        self._info, self._error = info or {}, error
        self._api = docker.APIClient(base_url="http://127.0.0.1:1", version="1.41")  # a fixed version: no connection
        self.containers = SimpleNamespace(create=self._create)

    def info(self):
        self.calls.append(("info", (), {}))
        if self._error:
            raise self._error
        return self._info

    def _create(self, image, command=None, **kwargs):
        self.calls.append(("containers.create", (image, command), kwargs))
        known = set(RUN_CREATE_KWARGS) | set(RUN_HOST_CONFIG_KWARGS) | {"network", "volumes"}
        if unknown := set(kwargs) - known:
            raise TypeError(f"containers.create() got unexpected keyword arguments {sorted(unknown)}")
        host = {key: value for key, value in kwargs.items() if key in RUN_HOST_CONFIG_KWARGS}
        self.host_configs.append(self._api.create_host_config(**host))
        return FakeContainer(self, kwargs.get("name"))


# What a healthy daemon with the NVIDIA toolkit says to `docker info` (the fields that matter here).
DOCKER_INFO = {
    "ServerVersion": "28.2.2",
    "Driver": "overlay2",
    "CgroupVersion": "2",
    "MemoryLimit": True,
    "SwapLimit": True,
    "Runtimes": {"runc": {"path": "runc"}, "nvidia": {"path": "nvidia-container-runtime"}},
    "CDISpecDirs": [],
    "DockerRootDir": "/var/lib/docker",
}


def write(root: Path, files: dict[str, str | int]) -> Path:
    """Make files below `root`, with their folders. Paths may begin with a slash."""
    for name, content in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def linux_machine(
    root: Path, cpus: int = 4, threads_per_core: int = 2, flags: str = "fpu sse2 avx2 avx512f avx512_vnni amx_tile"
) -> Path:
    """A quiet bare-metal x86 server with control groups version 2: nothing for the doctor to complain about."""
    cpu = "/sys/devices/system/cpu"
    files: dict[str, str | int] = {
        "/proc/cpuinfo": "\n\n".join(
            f"processor\t: {n}\nmodel name\t: Example  Xeon 8480\nflags\t\t: {flags}" for n in range(cpus)
        ),
        "/proc/meminfo": "MemTotal:       67108864 kB\nMemAvailable:   60000000 kB\nSwapTotal:       2097152 kB",
        "/proc/self/cgroup": "0::/user.slice",
        "/sys/fs/cgroup/cgroup.controllers": "cpu memory",
        f"{cpu}/intel_pstate/no_turbo": 1,
        "/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
        "/etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"',
        "/var/lib/docker/.keep": "",
    }
    for n in range(cpus):
        first = n - n % threads_per_core
        siblings = ",".join(str(first + i) for i in range(threads_per_core))
        files[f"{cpu}/cpu{n}/topology/thread_siblings_list"] = siblings
        files[f"{cpu}/cpu{n}/cpufreq/scaling_governor"] = "performance"
    return write(root, files)


def add_amd_gpu(
    root: Path, node: int, minor: int, name: str = "AMD Instinct MI300X", gib: int = 192, gfx: int = 90402
) -> None:
    """An AMD GPU as the kernel's compute topology shows it; node 0 is the processor."""
    topology = "/sys/class/kfd/kfd/topology/nodes"
    write(
        root,
        {
            "/dev/kfd": "",
            f"/dev/dri/renderD{minor}": "",
            f"{topology}/0/properties": "cpu_cores_count 96\nsimd_count 0\ndrm_render_minor 0\ngfx_target_version 0",
            f"{topology}/{node}/properties": f"cpu_cores_count 0\nsimd_count 1216\ndrm_render_minor {minor}\n"
            f"gfx_target_version {gfx}",
            f"{topology}/{node}/mem_banks/0/properties": f"heap_type 1\nsize_in_bytes {gib * GIB}",
            f"/sys/class/drm/renderD{minor}/device/product_name": name,
        },
    )
