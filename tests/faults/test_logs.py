"""Row 24 of docs/trust/security.md: logs of any size and kind."""

from tests.support.checkout import SMALL


def test_a_log_of_any_size_and_kind_is_capped(checkout):
    much = 300_000_000 if checkout.isolation == "venv" else 60_000_000  # the daemon writes each line as JSON
    noise = {"much": {"log_bytes": much}, "line": {"log_bytes": 100_000_000, "log_line": True}}
    checkout.engine("faulty", {name: {"settings": settings} for name, settings in noise.items()})
    _, summary, out = checkout.measure("--engines", "faulty", "--no-quality", *SMALL)
    assert {row["outcome"] for row in summary["rows"]} == {"ok"}
    assert max(path.stat().st_size for path in out.rglob("std*.log")) < 12 << 20
