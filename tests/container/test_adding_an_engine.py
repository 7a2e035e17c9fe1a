"""People add an engine by one command and one folder: nothing outside the folder is touched."""

import hashlib

import pytest

from tests.support.checkout import rows

pytestmark = pytest.mark.container


def fingerprint(path, without):
    digest = hashlib.sha256()
    for each in sorted(path.rglob("*")):
        if (
            each.is_file()
            and without not in each.parts
            and "__pycache__" not in each.parts
            and each.relative_to(path).parts[0] != "results"
        ):
            digest.update(str(each.relative_to(path)).encode() + each.read_bytes())
    return digest.hexdigest()


@pytest.mark.parametrize("isolation", ["docker", "venv"])
def test_a_new_folder_is_a_contender(checkout, isolation):
    before = fingerprint(checkout.path, "bench_mine")
    checkout.made.append("mine")
    laid_out = checkout.run("new", "mine")
    assert laid_out.returncode == 0, laid_out.stderr
    assert "mine" in checkout.run("list").stdout
    checked = checkout.run("check", "mine", "--device", "cpu", "--isolation", isolation)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "all checks passed" in checked.stdout
    description = checkout.path / "bench_mine" / "engine.yaml"
    description.write_text(description.read_text().replace("test_only: true", "test_only: false"))
    done, summary, _ = checkout.measure("--engines", "all", "--isolation", isolation, "--new-tokens", "8")
    assert done.returncode == 0, done.stderr
    row = rows(summary)["float32"]
    assert (row["engine"], row["outcome"], row["isolation"]) == ("mine", "ok", isolation)
    assert "computes no model" in row["caveat"]
    assert fingerprint(checkout.path, "bench_mine") == before


def test_check_finds_what_is_wrong(checkout):
    checkout.engine("wrong", {"float32": {}})
    folder = checkout.path / "bench_wrong"
    bench = folder / "bench.py"
    text, summed = bench.read_text(), "[sum(prompt) for prompt in prompts]"
    assert summed in text
    bench.write_text(text.replace(summed, "[0 for prompt in prompts]"))  # every prompt has the same answer
    (folder / "README.md").unlink()
    (folder / "requirements" / "cpu.txt").write_text("numpy>=2\n")
    done = checkout.run("check", "wrong", "--device", "cpu")
    assert done.returncode == 1
    assert "FAIL  files: missing: bench_wrong/README.md" in done.stdout
    assert "FAIL  every requirement is pinned" in done.stdout
    assert "FAIL  float32: another prompt gives other tokens" in done.stdout
    assert "FAIL  float32: log-probabilities agree" in done.stdout
