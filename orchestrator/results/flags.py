"""What each flag of a row means, and what to do about it."""

from __future__ import annotations


from orchestrator.results.row import Row



NOTES = {
    "not_a_measurement": "quick profile: one launch, not a measurement",
    "synthetic_weights": "synthetic weights",
    "noisy_host": "others used this host's CPU: repeat on an idle machine",
    "not_steady": "warm-up did not settle: expect spread",
    "not_streamed": "no token streaming: decode speed derived from two runs",
    "bandwidth_moved": "the host's memory bandwidth moved by a fifth meanwhile: repeat when it is idle",
    "above_peak": "prefill outran the measured peak of matrix products: that is a lower bound, and MFU too high",
    "drift": "every launch went the same way: let the machine settle, or take more launches",
    "slow_first": "the first measured iteration was slower than the others: expect a slow start",
    "throttled": "the device lowered its clocks because of heat or power: improve its cooling, or its power limit",
    "power_capped": "the device ran at its power limit: raise it, or say so with the figures",
    "gpu_lost": "the GPU was lost while it was measured",
    "ready_made": "ready-made checkpoint: quantised by others; only quality figures tell how close it is to this model",
    "unverified": "no author has run this engine on this kind of device",
}


def notes(row: Row) -> str:
    """What a reader must know about a row, in words."""
    words = [NOTES[flag] for flag in row["flags"] if flag in NOTES]
    if row["caveat"]:
        words.append(row["caveat"])
    return "; ".join(words)
