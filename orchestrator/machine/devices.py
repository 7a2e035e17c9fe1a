"""Chooses the device of a run."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping

from orchestrator.base.errors import UserError
from orchestrator.machine.detect import KINDS, Detection, Device, detect

PREFERENCE = ("cuda", "rocm", "metal", "cpu")  # the order in which `auto` tries them
TITLES = {"cuda": "NVIDIA GPU", "rocm": "AMD GPU", "metal": "Apple GPU", "cpu": "CPU"}

# Other names of a kind; difflib alone would correct "gpu" to "cpu".
_ALIASES = {
    "cuda": ("gpu", "nvidia", "nv"),
    "rocm": ("amd", "hip", "radeon", "instinct"),
    "metal": ("mps", "apple", "mac"),
    "cpu": ("host", "x86", "none"),
}
REMEDY = {
    "cuda": "Install or repair the NVIDIA driver (check with: nvidia-smi)",
    "rocm": "Install or repair the amdgpu driver (check with: ls -l /dev/kfd)",
    "metal": "Metal needs a Mac with Apple silicon and a native (arm64) Python",
}
# A value that is empty or begins with -1 hides every GPU.
VISIBLE_DEVICES = {"cuda": ("CUDA_VISIBLE_DEVICES",), "rocm": ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")}


def choose_device(
    requested: str,
    gpus: str | None,
    say: Callable[[str], None],
    *,
    detections: dict[str, Detection] | None = None,
    env: Mapping[str, str] | None = None,
) -> Device:
    """The device to measure on.

    `requested` is "auto" or one of KINDS; `gpus` is a comma list of indices, UUIDs or beginnings of UUIDs (render
    node names on AMD). Its default is CUDA_VISIBLE_DEVICES (or the ROCm counterparts), else the first GPU. `say` gets
    one line: the choice and the reason. Raises UserError if no device fits.
    """
    if requested != "auto" and requested not in KINDS:
        raise UserError(f"unknown device {requested!r}: {_suggest(requested)}")
    if gpus is not None and requested in ("cpu", "metal"):
        raise UserError(f"--gpus {gpus} has no meaning with --device {requested}: leave it out, or use --device cuda")
    detections = detect() if detections is None else detections
    env = os.environ if env is None else env

    if requested != "auto":
        device, remark = _choose(requested, gpus, detections[requested], env)
        if device is None:
            remedy = "" if detections[requested].devices else f"{REMEDY[requested]}, or use --device auto"
            raise UserError(f"--device {requested}: {remark}. {remedy}".rstrip(" ."))
        say(f"Device: {requested} - {device.name}{remark}")
        return device

    missing: list[str] = []
    for kind in PREFERENCE if gpus is None else PREFERENCE[:2]:
        device, remark = _choose(kind, gpus, detections[kind], env)
        if device is not None:
            say(f"Device: {kind} - {device.name}{remark}" + (f"; {', '.join(missing)}" if missing else ""))
            return device
        missing.append(f"no {kind} ({remark})")
    raise UserError(f"--gpus {gpus}, but {', '.join(missing)}. Leave --gpus out to measure on the CPU")


def _suggest(word: str) -> str:
    """Every valid device name, the likeliest first. Knows other names of a kind ("gpu", "amd", "mps")."""
    names = {name: kind for kind, aliases in _ALIASES.items() for name in (kind, *aliases)} | {"auto": "auto"}
    likely = [names[match] for match in difflib.get_close_matches(word.lower(), names, n=3, cutoff=0.5)]
    hint = f"did you mean {likely[0]!r}? " if likely else ""
    return f"{hint}valid: {', '.join(dict.fromkeys([*likely, *PREFERENCE, 'auto']))}"


def _choose(kind: str, gpus: str | None, detection: Detection, env: Mapping[str, str]) -> tuple[Device | None, str]:
    """The device of this kind and a remark on the choice, or None and the reason."""
    if not detection.devices:
        return None, detection.reason or f"no {TITLES[kind]} found"
    if kind not in VISIBLE_DEVICES:
        return detection.devices[0], ""
    visible = {_gpu(device)["index"]: device for device in detection.devices}
    if gpus is not None:
        return _combine(_select(gpus, visible, "--gpus")), f" (--gpus {gpus})"
    remark = ""
    for name in VISIBLE_DEVICES[kind]:
        if (value := env.get(name)) is None:
            continue
        if value.split(",")[0].strip() in ("", "-1"):
            return None, f"{name}={value!r} hides every GPU (unset it, or name the GPUs with --gpus)"
        chosen = _select(value, visible, name)
        visible = {str(i): device for i, device in enumerate(chosen)}  # HIP's indices are relative to ROCR's choice
        remark += f" ({name}={value})"
    if remark:
        return _combine(list(visible.values())), remark
    usable = [device for device in visible.values() if _gpu(device).get("mig") != "parent"]
    if not usable:
        return None, "every NVIDIA GPU is in MIG mode and has no instance (make one: nvidia-smi mig -cgi …)"
    if len(usable) > 1:
        remark = f" (the first of {len(usable)} GPUs; others: --gpus {','.join(_gpu(d)['index'] for d in usable[1:3])})"
    return usable[0], remark


def _gpu(device: Device) -> dict:
    return device.detail["gpus"][0]


def _select(text: str, visible: dict[str, Device], source: str) -> list[Device]:
    """Devices named by a comma list of indices, ids, or unambiguous beginnings of ids, in the order named."""
    listed = ", ".join(f"{index} ({device.ids[0]})" for index, device in visible.items())
    chosen: list[Device] = []
    for word in [part.strip() for part in text.split(",")]:
        if word in visible:
            matches = [visible[word]]
        elif re.fullmatch(r"-?\d+", word) or not word:
            matches = []
        else:
            # "3f2a…" is accepted for "GPU-3f2a…": tools print UUIDs with and without the prefix
            starts = tuple(prefix + word.lower() for prefix in ("", "gpu-", "mig-"))
            matches = [d for d in visible.values() if d.ids[0].lower().startswith(starts)]
            exact = [d for d in matches if d.ids[0].lower() in starts]
            matches = exact or matches
        if not matches:
            raise UserError(f"{source} {text}: there is no GPU '{word}'; there is: {listed}")
        if len(matches) > 1:
            raise UserError(f"{source} {text}: '{word}' fits several GPUs, give more of it; there is: {listed}")
        if _gpu(matches[0]).get("mig") == "parent":
            inside = [f"{i} ({d.ids[0]})" for i, d in visible.items() if i.startswith(_gpu(matches[0])["index"] + ":")]
            offer = ", ".join(inside) or "none yet, make one with nvidia-smi mig -cgi …"
            raise UserError(f"{source} {text}: GPU '{word}' is split by MIG, name one of its instances: {offer}")
        if matches[0] in chosen:
            raise UserError(f"{source} {text}: GPU '{word}' is named twice")
        chosen += matches
    if len(chosen) > 1 and any(_gpu(device).get("mig") for device in chosen):
        raise UserError(f"{source} {text}: CUDA uses one MIG instance at a time, name one")
    return chosen


def _combine(devices: list[Device]) -> Device:
    """Several GPUs as one device."""
    if len(devices) == 1:
        return devices[0]
    counts = Counter(device.name for device in devices)
    name = " + ".join(f"{n} x {name}" if n > 1 else name for name, n in counts.items())
    sizes = [device.memory_mib for device in devices]
    memory = None if None in sizes else sum(size for size in sizes if size)
    detail = {**devices[0].detail, "gpus": [_gpu(device) for device in devices]}
    return Device(devices[0].kind, name, tuple(device.ids[0] for device in devices), memory, detail)
