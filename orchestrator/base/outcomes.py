"""The closed vocabularies: outcomes, in which every cell ends, and flags, which stand beside its figures.

Both are printed, never blank; each word explains itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_BUSY, EXIT_INTERRUPTED = 0, 1, 2, 75, 130
EXIT_REGRESSION = 3  # compare --fail-on-regression: a row is shown slower by more than that
EXIT_NO_CHOICE = 4  # choose: nothing meets the constraints
EXIT_NOT_COMPARABLE = 5  # `replay`: nothing can be said either way


class Cause(Enum):
    """Whose doing an outcome is."""

    NONE = "nothing went wrong"
    ENGINE = "the engine, its build or its conversion"
    MEMORY = "the engine needs more memory than there is"
    MACHINE = "the device, its other users, or the disk"
    RUN = "the suite, the network or the user"


class Outcome(str, Enum):
    """How a cell or a launch ended: a word, equal to its text, with what it means and what to do about it.

    >>> OUTCOMES["oom_gpu"].is_out_of_memory
    True
    """

    cause: Cause
    sentence: str
    remedy: str

    def __new__(cls, word: str, cause: Cause, sentence: str, remedy: str) -> Outcome:
        self = str.__new__(cls, word)
        self._value_ = word
        self.cause, self.sentence, self.remedy = cause, sentence, remedy
        return self

    OK = (
        "ok",
        Cause.NONE,
        "measured, and every gate passed or was not applicable",
        "read the row's flags before you use its figures",
    )
    UNSUPPORTED = (
        "unsupported",
        Cause.NONE,
        "the engine cannot do this on this device, or computes this architecture wrongly",
        "read the reason; this is not a failure",
    )
    BUILD_FAILED = (
        "build_failed",
        Cause.ENGINE,
        "the image or environment could not be built",
        "read the last lines of the build's log in the reason",
    )
    FETCH_FAILED = (
        "fetch_failed",
        Cause.RUN,
        "the model could not be fetched",
        "check network, name, revision and login",
    )
    CONVERT_FAILED = ("convert_failed", Cause.ENGINE, "the converter failed", "read its log")
    LOAD_FAILED = ("load_failed", Cause.ENGINE, "the engine could not load the model", "read its log")
    ENGINE_ERROR = (
        "engine_error",
        Cause.ENGINE,
        "the engine failed or crashed while generating",
        "read its log; the samples so far are kept",
    )
    OOM_GPU = ("oom_gpu", Cause.MEMORY, "out of device memory", "use a smaller batch or a lower precision")
    OOM_HOST = (
        "oom_host",
        Cause.MEMORY,
        "out of host memory",
        "use a smaller batch or a lower precision, or raise --memory-limit",
    )
    OOM_SUSPECTED = (
        "oom_suspected",
        Cause.MEMORY,
        "killed as if out of memory, but the kernel does not say so",
        "as for oom_host",
    )
    TIMEOUT_WALL = ("timeout_wall", Cause.ENGINE, "longer than --timeout", "raise it, or measure less")
    TIMEOUT_HUNG = (
        "timeout_hung",
        Cause.ENGINE,
        "no sign of life for --hang-timeout seconds",
        "see the place that the reason names",
    )
    GPU_LOST = ("gpu_lost", Cause.MACHINE, "the driver lost the GPU", "see the system's log")
    GPU_CONTENDED = (
        "gpu_contended",
        Cause.MACHINE,
        "other processes used the GPU before the launch",
        "end them, or choose another GPU",
    )
    INVALID_OUTPUT = (
        "invalid_output",
        Cause.ENGINE,
        "a gate failed, or the result is malformed",
        "see the gate that the reason names",
    )
    NO_RESULT = ("no_result", Cause.ENGINE, "the engine ended without a result", "read its log")
    DISK_FULL = ("disk_full", Cause.MACHINE, "the disk was full", "make room, then continue with --resume")
    INTERRUPTED = ("interrupted", Cause.RUN, "the run was stopped", "continue with --resume")
    HARNESS_ERROR = ("harness_error", Cause.RUN, "the suite itself failed", "report it, with the log")

    __str__ = str.__str__

    def __format__(self, spec: str) -> str:
        return str.__format__(self, spec)

    @property
    def is_failure(self) -> bool:
        """Whether something that was asked for, and that can be done, was not."""
        return self.cause is not Cause.NONE

    @property
    def is_out_of_memory(self) -> bool:
        """A larger shape of the same variant would end alike."""
        return self.cause is Cause.MEMORY

    @property
    def is_loss(self) -> bool:
        """The engine's own doing: a regression where the row was ok before. Other words say something of the run."""
        return self.cause in (Cause.ENGINE, Cause.MEMORY)

    @property
    def stops_cell(self) -> bool:
        """Further launches of the same cell would only repeat it."""
        return self.is_loss or self in (Outcome.UNSUPPORTED, Outcome.DISK_FULL)


OUTCOMES: dict[str, Outcome] = {outcome.value: outcome for outcome in Outcome}


def exit_code(words: Iterable[str]) -> int:
    """0 when every cell is ok or unsupported, 130 when one was interrupted, else 1."""
    outcomes = [OUTCOMES[word] for word in words]
    if Outcome.INTERRUPTED in outcomes:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if any(outcome.is_failure for outcome in outcomes) else EXIT_OK


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
    NOISY_HOST = ("noisy_host", "others used this host's CPU, more than 5 % of a core", "repeat on an idle machine")
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

    def __str__(self) -> str:
        return str.__str__(self)

    def __format__(self, form: str) -> str:
        return str.__format__(self, form)

    @property
    def note(self) -> str:
        """One line: what it means, and what to do."""
        return f"{self.sentence}: {self.remedy}"


FLAGS: dict[str, Flag] = {flag.value: flag for flag in Flag}


def known_flags(words: Iterable[str]) -> list[Flag]:
    """The flags that these words stand for, in their order; words of another version of the suite are left out."""
    return [FLAGS[word] for word in words if word in FLAGS]
