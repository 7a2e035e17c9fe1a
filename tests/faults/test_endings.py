"""Rows 7, 8, 9, 12, 22 and 23 of docs/trust/security.md: the word in which each way to end ends."""

from tests.support.checkout import SMALL, rows

ENDS = {  # variant: its fault, and the word in which it ends
    "good": (None, "ok"), "load": ("raise_in_load", "load_failed"), "raise": ("raise_in_generate", "engine_error"),
    "segfault": ("segfault", "engine_error"), "abort": ("abort", "engine_error"), "gone": ("exit_zero", "no_result"),
    "hang-load": ("hang_in_load", "timeout_hung"), "hang-generate": ("hang_in_generate", "timeout_hung"),
    "hang-close": ("hang_in_close", "timeout_hung"), "session": ("leave_session", "ok"),
    "short": ("too_few_tokens", "invalid_output"), "lying": ("lying_bytes", "invalid_output"),
}  # fmt: skip
FORGED = ("empty", "cut", "nan", "other", "bare", "link", "pipe", "huge")  # left in place of a result, with exit code 0


def test_every_way_to_die_has_its_word_and_the_others_go_on(checkout):
    variants = {name: {"settings": {"fault": fault} if fault else {}} for name, (fault, _) in ENDS.items()}
    variants["never"] = {"devices": {"cpu": {"state": "unsupported", "note": "not today"}}}
    variants["converted"] = {"artefact": "copy", "precision": "int8"}
    variants["impossible"] = {"settings": {"step_ms": 0}}
    variants |= {kind: {"settings": {"fault": "forge", "forged": kind}} for kind in FORGED}
    checkout.engine("faulty", variants)
    done, summary, out = checkout.measure("--engines", "faulty", "--no-quality", "--hang-timeout", "5", *SMALL)
    found = rows(summary)
    cached = "cache_resident" in found["good"]["flags"]  # 37 MB: nothing is impossible where they fit
    words = {name: word for name, (_, word) in ENDS.items()} | {
        "never": "unsupported", "converted": "ok", "impossible": "ok" if cached else "invalid_output",
        **dict.fromkeys(FORGED, "invalid_output"),
    }  # fmt: skip
    assert {name: row["outcome"] for name, row in found.items()} == words
    assert "signal 11" in found["segfault"]["reason"] and "signal 6" in found["abort"]["reason"]
    assert "told to fail in generate" in found["raise"]["reason"]
    assert "token audit" in found["short"]["reason"] and "gate precision" in found["lying"]["reason"]
    assert cached or "gate physics" in found["impossible"]["reason"]
    report = (out / "report.md").read_text()
    assert "told to fail in generate" in report and "not today" in report
    assert done.returncode == 1 and str(out / "report.md") in done.stdout
    for name, place in (("hang-load", "in load"), ("hang-generate", "in generate"), ("hang-close", "in close")):
        assert place in found[name]["reason"]
    assert checkout.left() == []
    # Nothing outside the out folder was read: "link" leads to /etc/passwd.
    assert all("result.json" in found[kind]["reason"] and "\n" not in found[kind]["reason"] for kind in FORGED)
    assert not any(b"root:x:0" in path.read_bytes() for path in out.iterdir() if path.is_file())
    # What was sampled before the fault is kept, and no row is made of it.
    kept = next(out.glob("launches/faulty-hang-close-*/out/samples.jsonl")).read_text().splitlines()
    assert len(kept) > 3 and found["hang-close"]["decode_tps"] is None


def test_an_engine_that_is_deaf_to_sigterm_ends_at_the_wall_limit(checkout):
    checkout.engine(
        "faulty", {"deaf": {"settings": {"fault": "ignore_sigterm"}}, "spin": {"settings": {"fault": "spin"}}}
    )
    _, summary, _ = checkout.measure("--engines", "faulty", "--no-quality", "--timeout", "6", *SMALL)
    assert {row["outcome"] for row in summary["rows"]} == {"timeout_wall"}
    assert checkout.left() == []
