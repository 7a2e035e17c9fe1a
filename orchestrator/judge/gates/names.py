"""The gates that a launch must pass before its figures count. Each gives "pass", "not checked: why" or "fail: why"."""

NAMES = ("precision", "tokens", "physics", "agreement", "cold_prefix", "self_calibration")
