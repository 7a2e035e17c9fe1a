"""What the Docker sandbox asks of the daemon, for every kind of device: no hardware is needed to see it."""

import os
import subprocess

import pytest

from orchestrator.machine.detect import Device
from orchestrator.sandbox import containers
from orchestrator.sandbox.containers import DockerSandbox
from orchestrator.sandbox.images import Image
from orchestrator.sandbox.task import Task
from tests.support.machines import FakeDocker
from tests.support.results_directory import job

CPU = Device("cpu", "a CPU", ("cpu",), None, {})
GPUS = Device("cuda", "2 x H100", ("GPU-aaaa", "GPU-bbbb"), None, {"gpus": []})
IMAGE = Image("llm-bench/x:cpu-1", "sha256:1", ("docker build -t llm-bench/x:cpu-1 .",))


@pytest.fixture
def task(tmp_path):
    for name in ("launch/out", "model", "artefact"):
        (tmp_path / name).mkdir(parents=True)
    return Task("x", "bench_x.bench", job(), tmp_path / "launch", tmp_path / "launch" / "out", tmp_path / "model",
                tmp_path / "artefact", 60.0, {"OMP_NUM_THREADS": "2"})  # fmt: skip


def run(device, task):
    client = FakeDocker()
    ended = DockerSandbox(client, None, device, "cpu").run(IMAGE, task)
    create = next(call for call in client.calls if call[0] == "containers.create")
    return client, create, ended


def test_a_container_gets_no_network_no_rights_and_bounded_memory(task):
    client, (_, (image, command), options), ended = run(CPU, task)
    host = client.host_configs[0]
    assert image == "sha256:1"
    assert command[:4] == ["-m", "common.supervise", "--lease", "/job/lease"] and command[-2:] == [
        "--",
        "bench_x.bench",
    ]
    assert options["network_mode"] == "none" and host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"] and host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Memory"] == host["MemorySwap"] > 0 and host["PidsLimit"] > 0
    assert not host.get("Privileged") and "docker.sock" not in str(options)
    assert options["user"].split(":")[0] not in ("0", "")
    writable = [mount["Target"] for mount in host["Mounts"] if not mount["ReadOnly"]]
    assert writable == ["/out"]
    assert ended.exit_code == 0 and ended.signal is None


def test_the_job_names_places_inside_the_container(task):
    run(CPU, task)
    written = (task.directory / "job.json").read_text()
    assert '"path": "/model"' in written and '"artefact": "/artefact"' in written and str(task.model) not in written


def test_cuda_asks_for_exactly_these_gpus(task):
    client, _, _ = run(GPUS, task)
    requests = client.host_configs[0]["DeviceRequests"]
    assert [(each["DeviceIDs"], each["Capabilities"], each["Count"]) for each in requests] == [
        (["GPU-aaaa", "GPU-bbbb"], [["gpu"]], 0)
    ]
    assert "--gpus" in (task.directory / "reproduce.sh").read_text()


def test_rocm_gets_its_nodes_and_their_groups(task, monkeypatch):
    device = Device("rocm", "MI300X", ("renderD128",), None, {"gpus": []})
    options = {
        "devices": ["/dev/kfd:/dev/kfd:rwm", "/dev/dri/renderD128:/dev/dri/renderD128:rwm"],
        "group_add": [44, 110],
    }
    monkeypatch.setattr(containers, "docker_options", lambda given: options if given is device else {})
    monkeypatch.setattr(containers, "docker_flags", lambda _given: ["--device=/dev/kfd"])
    client, _, _ = run(device, task)
    host = client.host_configs[0]
    assert [each["PathOnHost"] for each in host["Devices"]] == ["/dev/kfd", "/dev/dri/renderD128"]
    assert host["GroupAdd"] == ["44", "110"] and host["CapDrop"] == ["ALL"]


def test_the_container_is_removed_whatever_happens(task):
    client = FakeDocker()
    sandbox = DockerSandbox(client, None, CPU, "cpu")

    def create(*args, **kwargs):
        container = FakeDocker._create(client, *args, **kwargs)
        container.wait = interrupt
        return container

    def interrupt(**_kwargs):
        raise KeyboardInterrupt

    client.containers.create = create
    with pytest.raises(KeyboardInterrupt):
        sandbox.run(IMAGE, task)
    assert client.calls[-1] == ("container.remove", (), {"force": True, "v": True})


def test_the_reproduction_script_is_valid_shell_and_carries_every_limit(task):
    run(CPU, task)
    script = task.directory / "reproduce.sh"
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    text = script.read_text()
    for flag in (
        "--network none",
        "--read-only",
        "--cap-drop ALL",
        "--memory ",
        "--user ",
        "-e OMP_NUM_THREADS=2",
        ":ro",
    ):
        assert flag in text
    assert os.access(script, os.X_OK)
