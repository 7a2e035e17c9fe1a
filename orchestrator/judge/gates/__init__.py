"""Checks that a launch must pass before its numbers count: "pass", "not checked: why" or "fail: why"."""
