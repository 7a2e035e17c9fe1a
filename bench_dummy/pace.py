"""Known delays between tokens."""

import time

SPIN_S = 0.0015  # a sleep overshoots by 0.05 to 1 ms, so the last part before a deadline is a busy wait


class Pace:
    """Waits for the delays of `settings`: first_ms before the first token, step_ms before every later one.

    Deadlines are absolute, so that overshoots do not add up.
    """

    def __init__(self, settings):
        first_s, self._step_s = (settings.get(key, 0) / 1000 for key in ("first_ms", "step_ms"))
        self._deadline = time.monotonic() + first_s

    def wait(self):
        """Return at the next deadline, to within microseconds on an idle core."""
        remaining = self._deadline - time.monotonic()
        if remaining > SPIN_S:
            time.sleep(remaining - SPIN_S)
        while time.monotonic() < self._deadline:
            pass
        self._deadline += self._step_s
