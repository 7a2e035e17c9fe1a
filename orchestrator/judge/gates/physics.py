"""Gate `physics`: no step reads its weights faster than the device's memory can deliver them.

    fails if  (step_bytes - cache_bytes) * steps_per_s > bandwidth * (1 + error)

bandwidth is the better of the two probes around the launch, error their relative difference (at least LEAST_ERROR).
This is the memory roof of the roofline model (Williams, Waterman, Patterson 2009), less what a cache can keep between
steps.
"""

from __future__ import annotations

from dataclasses import dataclass

LEAST_ERROR = 0.05  # of the measured bandwidth; more where the probes before and after the launch differ by more


@dataclass(frozen=True)
class Traffic:
    """What decoding must read, and the device's limits.

    step_bytes:     bytes of the weights a step must read, and of the KV cache at its mean depth
    steps_per_s:    decode steps, not tokens: a batch shares one step
    bandwidth:      bytes/s of the probes before and after the launch, empty if the device cannot be probed
    cache_bytes:    size of the last-level cache, None if it is unknown or too small to matter
    """

    step_bytes: float
    steps_per_s: float
    bandwidth: tuple[float, ...]
    cache_bytes: int | None

    @property
    def cache_resident(self) -> bool:
        """Whether all that a step reads fits in the last-level cache: then memory bandwidth is no limit."""
        return self.cache_bytes is not None and self.step_bytes <= self.cache_bytes

    @property
    def from_memory(self) -> float:
        """Bytes of a step that cannot be in the cache from the step before."""
        return max(0.0, self.step_bytes - (self.cache_bytes or 0))

    @property
    def mbu(self) -> float | None:
        """Memory bandwidth utilisation, step_bytes * steps_per_s / bandwidth: 1 is all of it.

        None without a bandwidth, and if the last-level cache can hold half of what a step reads: the bundled model in
        float32 (37 MB, with 32 MB of cache) would reach 124 % of the memory's bandwidth.
        """
        if not self.bandwidth or self.from_memory < self.step_bytes / 2:
            return None
        return self.step_bytes * self.steps_per_s / max(self.bandwidth)

    @property
    def error(self) -> float:
        """Relative error of the bandwidth: the relative difference of the probes, at least LEAST_ERROR."""
        return max(LEAST_ERROR, 1 - min(self.bandwidth) / max(self.bandwidth)) if self.bandwidth else LEAST_ERROR


def physics(traffic: Traffic | None) -> str:
    """The gate: a step reads from memory at most at the measured bandwidth, plus its error.

    What the cache can keep from the step before does not count.
    """
    if traffic is None:
        return "not checked: the launch has no decode speed"
    if traffic.cache_resident:
        return "not checked: cache_resident, a step reads less than the last-level cache holds"
    if not traffic.bandwidth:
        return "not checked: no bandwidth could be measured on this device"
    share = traffic.from_memory * traffic.steps_per_s / max(traffic.bandwidth)
    if share > 1 + traffic.error:
        return (
            f"fail: {traffic.steps_per_s:.4g} steps/s x {traffic.from_memory / 1e6:.4g} MB are {100 * share:.0f} % "
            f"of the {max(traffic.bandwidth) / 1e9:.3g} GB/s that this device reads "
            f"(measured within {100 * traffic.error:.0f} %)"
        )
    return "pass"
