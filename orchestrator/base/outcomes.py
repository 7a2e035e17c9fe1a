"""The closed vocabulary in which every cell ends. Printed, never blank."""

OUTCOMES = (
    "ok", "unsupported", "build_failed", "fetch_failed", "convert_failed", "load_failed", "engine_error", "oom_gpu",
    "oom_host", "oom_suspected", "timeout_wall", "timeout_hung", "gpu_lost", "gpu_contended", "invalid_output",
    "no_result", "disk_full", "interrupted", "harness_error",
)  # fmt: skip

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_BUSY, EXIT_INTERRUPTED = 0, 1, 2, 75, 130
EXIT_REGRESSION = 3  # compare --fail-on-regression: a row is shown slower by more than that
EXIT_NO_CHOICE = 4  # choose: nothing meets the constraints
EXIT_NOT_COMPARABLE = 5  # `replay`: nothing can be said either way


def exit_code(outcomes: list[str]) -> int:
    """0 when every cell is ok or unsupported, 130 when one was interrupted, else 1."""
    if "interrupted" in outcomes:
        return EXIT_INTERRUPTED
    return EXIT_OK if all(outcome in ("ok", "unsupported") for outcome in outcomes) else EXIT_FAILED
