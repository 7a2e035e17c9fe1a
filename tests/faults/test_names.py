"""Row 27 of docs/trust/security.md: hostile strings from an engine's folder, its log, its errors and a model."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from tests.support.checkout import ROOT, SMALL

EVIL = "<script>alert(1)</script>|`touch pwned`$(touch pwned);touch pwned;'\"&\x1b[31m\x07../../x\u202e"
FOLDER = "evil $(touch pwned);touch pwned `touch pwned`'\"<script>alert(2)<|x"  # a path cannot hold a slash


@pytest.fixture
def hostile(checkout):
    """A checkout with a contender that says EVIL wherever it can, and a model whose folder and files do."""
    variants = {
        "good": {"settings": {"first_ms": 0.5, "note": EVIL}},
        "raise": {"settings": {"fault": "raise_in_generate"}},
        "caveat": {"devices": {"cpu": {"state": "caveat", "note": EVIL, "link": f"javascript:{EVIL}"}}},
        "never": {"devices": {"cpu": {"state": "unsupported", "note": EVIL, "link": EVIL}}},
    }
    checkout.engine("evil", variants, version=EVIL, homepage=EVIL, licence=EVIL)
    manifest = checkout.path / "bench_evil" / "engine.yaml"
    text = manifest.read_text()
    manifest.write_text(re.sub("^title: .*$", lambda _: f"title: {json.dumps(EVIL)}", text, flags=re.MULTILINE))
    bench, faults = (checkout.path / "bench_evil" / name for name in ("bench.py", "faults.py"))
    said = f"import sys\n\nprint({EVIL!r}, file=sys.stderr)\n"
    bench.write_text(bench.read_text().replace("class Dummy(", said + "\n\nclass Dummy(", 1))
    faults.write_text(faults.read_text().replace('"the dummy was told to fail in generate"', repr(EVIL)))
    model = checkout.path / FOLDER
    shutil.copytree(ROOT / "orchestrator" / "models" / "tiny", model)
    for name, key in (("config.json", "_name_or_path"), ("tokenizer_config.json", "chat_template")):
        path = model / name
        if path.is_file():
            path.write_text(json.dumps({**json.loads(path.read_text()), key: EVIL, EVIL: EVIL}))
    for path in model.glob("manifest.json"):
        path.unlink()  # it would tell that the files were changed
    return checkout, model


def test_hostile_strings_are_shown_and_never_run(hostile):
    checkout, model = hostile
    done, summary, out = checkout.measure("--engines", "evil", "--model", str(model), "--no-quality", *SMALL)
    found = {row["variant"]: row for row in summary["rows"]}
    assert {name: row["outcome"] for name, row in found.items()} == {
        "good": "ok", "raise": "engine_error", "caveat": "ok", "never": "unsupported",
    }  # fmt: skip
    assert "alert(1)" in found["raise"]["reason"]
    listed = checkout.run("list")
    for text in (done.stdout, done.stderr, listed.stdout):  # a terminal obeys control characters
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", text)
        assert "alert(1)" in text
    page = (out / "report.html").read_text()
    assert "<script>alert" not in page and 'href="javascript:' not in page.lower()
    for form in ("markdown", "latex", "csv", "json"):
        assert checkout.run("report", str(out), "--format", form).returncode == 0
    script = out / found["good"]["reproduce"]
    again = subprocess.run(["sh", str(script)], cwd=checkout.path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert json.loads((checkout.path / "reproduced" / "result.json").read_text())["outcome"] == "ok"
    assert not list(checkout.path.parent.rglob("pwned*"))
    assert {path.parent for path in checkout.path.parent.rglob("summary.json")} == {out}


@pytest.mark.parametrize(("key", "value"), [
    ("name", "../evil"), ("name", "a;rm -rf x"), ("name", "$(touch pwned)"), ("variants", {"../up": {}}),
    ("variants", {"a b;touch pwned": {}}), ("builds_on", "../../etc"),
])  # fmt: skip
@pytest.mark.parametrize("isolation", ["venv"], indirect=True)
def test_names_that_would_become_paths_are_refused(checkout, key, value):
    checkout.engine("evil", {"one": {}})
    manifest = checkout.path / "bench_evil" / "engine.yaml"
    content = {**yaml.safe_load(manifest.read_text()), key: value}
    manifest.write_text(json.dumps(content))
    done = checkout.run("run", "--engines", "all", "--device", "cpu")
    assert done.returncode == 2 and done.stderr.count("error: ") == 1 and "engine.yaml:1: " in done.stderr
    assert not list(checkout.path.parent.rglob("pwned*")) and not list((checkout.path / "results").iterdir())
