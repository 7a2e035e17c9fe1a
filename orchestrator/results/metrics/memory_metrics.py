"""Where memory goes."""

from __future__ import annotations

from typing import Any

from orchestrator.results.launch_record import LaunchRecord
from orchestrator.results.metrics import readings
from orchestrator.results.metrics.metric import SIZES, SMALLER, Group, Metric, Over, Style

MIB = 1024 * 1024
RSS = "the harness inside the container, sampled at 20 Hz"


def _memory(key: str, field: str, title: str, short: str, meaning: str, source: str, **more: Any) -> Metric:
    return Metric(
        key=key,
        field=field,
        title=title,
        short=short,
        meaning=meaning,
        source=source,
        group=Group.MEMORY,
        style=Style.NUMBER,
        unit="MiB",
        units=SIZES,
        display="MiB",
        better="less",
        words=SMALLER,
        drifts=False,
        **{"formula": meaning, "over": Over.MEDIAN, **more},
    )


def _kv_mib(launch: LaunchRecord) -> float | None:
    kv_bytes = launch.loaded.kv_bytes
    return None if kv_bytes is None else kv_bytes / MIB


MEMORY = (
    _memory(
        "memory",
        "",
        "peak memory",
        "Memory",
        "largest peak of any launch, weights and KV cache included: device memory on an accelerator; on a CPU the "
        "process tree's own memory plus the files that it maps",
        "the fields below",
        formula="`peak_device_mib` on an accelerator; `peak_host_mib` + `peak_mapped_file_mib` on a CPU",
        reader=readings.peak_memory,
        limit="--max-memory",
        example="16GB",
        objective="memory",
        comparable=True,
        table=False,
        page=True,
    ),
    _memory(
        "weights",
        "weights_mib",
        "weights",
        "Weights",
        "bytes of all weight tensors as held, quantised ones with their scales",
        "the engine, after loading",
        of_launch=lambda launch: launch.loaded.weight_bytes / MIB,
        page=False,
        terminal=True,
    ),
    _memory(
        "kv",
        "kv_mib",
        "KV cache",
        "KV reserved",
        "KV cache reserved for this shape",
        "the engine; unknown is null",
        of_launch=_kv_mib,
    ),
    _memory(
        "kv_needed",
        "kv_needed_mib",
        "KV cache needed",
        "KV needed",
        "keys and values that the shape needs",
        "the model's config, and the cache's dtype as the engine reports it",
        formula="2 · layers · KV heads · head size · bytes · batch · (p + n − 1)",
        of_launch=lambda launch: launch.analysis.get("kv_needed_mib"),
    ),
    _memory(
        "runtime",
        "",
        "runtime memory",
        "Runtime",
        "what is resident on the host beyond weights and KV cache",
        "the fields beside it, on a CPU",
        formula="`peak_host_mib` + `peak_mapped_file_mib` − `weights_mib` − `kv_mib`, at least 0",
        reader=readings.runtime_memory,
    ),
    _memory(
        "peak_host",
        "peak_host_mib",
        "peak host memory",
        "Peak host",
        "largest sum of anonymous and shared memory over the process tree",
        RSS,
        formula="RssAnon + RssShmem, summed over the process tree: the largest sample",
        of_launch=lambda launch: launch.result.memory.peak_host_mib,
        listed=True,
        over=Over.LARGEST,
        terminal=True,
    ),
    _memory(
        "mapped_files",
        "peak_mapped_file_mib",
        "mapped files",
        "Mapped files",
        "largest sum of mapped file pages over the process tree",
        RSS,
        formula="RssFile, summed over the process tree: the largest sample",
        of_launch=lambda launch: launch.result.memory.peak_mapped_file_mib,
        listed=True,
        over=Over.LARGEST,
    ),
    _memory(
        "peak_device",
        "peak_device_mib",
        "peak device memory",
        "Peak device",
        "largest device memory of the launch's own processes; where the driver does not list them, the device's use "
        "minus what was used before",
        "NVML or amdsmi on the host, as `peak_device_source` says; null without a GPU",
        of_launch=lambda launch: launch.analysis.get("peak_device_mib"),
        listed=True,
        over=Over.LARGEST,
    ),
)
