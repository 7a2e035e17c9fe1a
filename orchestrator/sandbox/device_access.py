"""Gives containers and virtual environments access to a device."""

from __future__ import annotations

import os
from collections.abc import Callable

from orchestrator.base.errors import UserError
from orchestrator.machine.detect import Device
from orchestrator.machine.devices import REMEDY
from orchestrator.machine.host import Host


def _rocm_access(device: Device, host: Host, stat: Callable) -> tuple[list[str], list[str]]:
    """The device nodes to pass on, and the IDs of the groups that own them.

    IDs, because the groups "video" and "render" differ between distributions and are missing in the container.
    """
    nodes = ["/dev/kfd", *(f"/dev/dri/{name}" for name in device.ids)]
    groups = set()
    for node in nodes:
        try:
            groups.add(stat(host.path(node)).st_gid)
        except OSError as error:
            raise UserError(f"{node}: {error.strerror}. {REMEDY['rocm']}") from error
    return nodes, [str(group) for group in sorted(groups)]


def docker_options(device: Device, host: Host | None = None, stat: Callable = os.stat) -> dict:
    """Keyword arguments for the Docker SDK's `client.containers.create` that give the container the device.

    Raises UserError for Metal, which no container can use.
    """
    if device.kind == "metal":
        raise UserError("containers cannot reach Metal: use --isolation venv")
    if device.kind == "cuda":
        import docker.types  # noqa: PLC0415 - slow to import, and a CPU run does not need it

        request = docker.types.DeviceRequest(driver="nvidia", device_ids=list(device.ids), capabilities=[["gpu"]])
        return {"device_requests": [request]}
    if device.kind == "rocm":
        nodes, groups = _rocm_access(device, host or Host(), stat)
        return {"devices": [f"{node}:{node}:rwm" for node in nodes], "group_add": groups}
    return {}


def docker_flags(device: Device, host: Host | None = None, stat: Callable = os.stat) -> list[str]:
    """The same for the command line of `docker run`; print them with shlex.join."""
    if device.kind == "cuda":
        value = "device=" + ",".join(device.ids)
        # docker parses --gpus as comma-separated fields; quotes that docker itself sees keep the list in one field
        return ["--gpus", f'"{value}"' if len(device.ids) > 1 else value]
    if device.kind == "rocm":
        nodes, groups = _rocm_access(device, host or Host(), stat)
        return [f"--device={node}" for node in nodes] + [f"--group-add={group}" for group in groups]
    docker_options(device)  # raises for Metal
    return []


def venv_environment(device: Device) -> dict[str, str]:
    """Environment variables that confine a process outside any container to the chosen GPUs."""
    if device.kind == "cuda":
        return {"CUDA_VISIBLE_DEVICES": ",".join(device.ids)}
    if device.kind == "rocm":
        indices = [gpu["index"] for gpu in device.detail["gpus"]]
        # HIP numbers the GPUs that ROCR leaves visible; a HIP variable inherited from the shell would filter again
        renumbered = ",".join(str(i) for i in range(len(indices)))
        return {"ROCR_VISIBLE_DEVICES": ",".join(indices), "HIP_VISIBLE_DEVICES": renumbered}
    return {}
