"""What a reader must know before using a row's figures. A flagged figure is kept and printed."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Flag(str, Enum):
    """A word, equal to its text, with the sentence that explains it and what to do about it."""

    sentence: str
    remedy: str

    def __new__(cls, word: str, sentence: str, remedy: str) -> Flag:
        self = str.__new__(cls, word)
        self._value_ = word
        self.sentence, self.remedy = sentence, remedy
        return self

    NOT_A_MEASUREMENT = (
        "not_a_measurement",
        "the quick profile, one launch, is not a measurement",
        "use --profile standard",
    )
    SYNTHETIC_WEIGHTS = "synthetic_weights", "synthetic weights", "use real weights to judge quality"
    NOISY_HOST = (
        "noisy_host",
        "others used this host's CPU, more than 5 % of a core",
        "repeat on an idle machine",
    )
    NOT_STEADY = "not_steady", "warm-up did not settle", "expect spread"
    NOT_STREAMED = (
        "not_streamed",
        "no token streaming, so that the decode speed is derived from two runs",
        "prefer its end-to-end speed, which was measured directly",
    )
    BANDWIDTH_MOVED = (
        "bandwidth_moved",
        "the host's memory bandwidth moved by a fifth meanwhile",
        "repeat when it is idle",
    )
    ABOVE_PEAK = (
        "above_peak",
        "prefill outran the measured peak of matrix products",
        "that peak is a lower bound, and MFU too high",
    )
    DRIFT = (
        "drift",
        "every launch went the same way, by more than 5 % in all",
        "let the machine settle, or take more launches",
    )
    SLOW_FIRST = (
        "slow_first",
        "the first measured iteration was over 10 % slower than the others",
        "expect a slow start",
    )
    THROTTLED = (
        "throttled",
        "the device lowered its clocks because of heat or power",
        "improve its cooling, or its power limit",
    )
    POWER_CAPPED = "power_capped", "the device ran at its power limit", "raise it, or say so with the figures"
    GPU_LOST = "gpu_lost", "the GPU was lost while it was measured", "see the system's log, and repeat"
    DEVICE_SHARED = "device_shared", "another process used the GPU during the launch", "end it, and repeat"
    CACHE_RESIDENT = (
        "cache_resident",
        "all that a decode step reads fits in the last-level cache",
        "expect no MBU and no physics gate",
    )
    READY_MADE = (
        "ready_made",
        "ready-made checkpoint, quantised by others",
        "only quality figures tell how close it is to this model",
    )
    UNVERIFIED = (
        "unverified",
        "no author has run this engine on this kind of device",
        "run ./benchmark.sh check there before you rely on it",
    )
    MONITOR_SLOWED = (
        "monitor_slowed",
        "the machine was sampled less often than planned",
        "look at the launch's machine.json before you use its energy or clocks",
    )
    MONITOR_HUNG = (
        "monitor_hung",
        "the samples of the machine end before the launch does",
        "look at the launch's machine.json before you use its energy or clocks",
    )
    CAVEAT = "caveat", "the engine's folder states a restriction of this variant", "read it in the row's notes"

    __str__ = str.__str__

    def __format__(self, spec: str) -> str:
        return str.__format__(self, spec)

    @property
    def note(self) -> str:
        """One line: what it means, and what to do."""
        return f"{self.sentence}: {self.remedy}"


FLAGS: dict[str, Flag] = {flag.value: flag for flag in Flag}


def known_flags(words: Iterable[str]) -> list[Flag]:
    """The flags that these words stand for, in their order; words of another version of the suite are left out."""
    return [FLAGS[word] for word in words if word in FLAGS]
