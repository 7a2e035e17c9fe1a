"""The locks for NVIDIA GPUs: a compiler and headers that fit each other, wherever a lock brings its own."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOCKS = sorted(ROOT.glob("bench_*/requirements/cuda*.txt"))
COMPILER = ("nvidia-cuda-nvcc", "nvidia-cuda-crt", "nvidia-nvvm")  # one program in three wheels
HEADERS = ("nvidia-cuda-cccl", "nvidia-cuda-runtime")
TOOLKIT = (*COMPILER, *HEADERS, "cuda-toolkit")


def pins(lock: Path) -> dict[str, str]:
    """Name and version of what the lock pins of the CUDA toolkit."""
    lines = (line.split("==") for line in lock.read_text(encoding="utf-8").splitlines() if "==" in line)
    return {name: version.split()[0] for name, version in lines if name in TOOLKIT}


def release(version: str) -> str:
    """The CUDA release that a wheel is of: 13.0 of 13.0.88."""
    return ".".join(version.split(".")[:2])


def test_some_lock_brings_a_compiler():
    assert any(set(TOOLKIT) <= set(pins(lock)) for lock in LOCKS)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parts[-3])
def test_the_cuda_toolkit_is_of_one_release(lock):
    # All wheels unpack into one folder, and CCCL's headers refuse a compiler that is not of the runtime's major.minor
    # ("CUDA compiler and CUDA toolkit headers are incompatible"). Wheels of CCCL after CUDA 13.0 are numbered as
    # CCCL is (13.3.5.0.6: CCCL 3.5.0, of CUDA 13.5): for such a release this needs another rule.
    toolkit = pins(lock)
    assert len({release(version) for version in toolkit.values()}) <= 1, toolkit
    assert len({version for name, version in toolkit.items() if name in COMPILER}) <= 1, toolkit
