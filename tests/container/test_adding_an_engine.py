"""People add an engine by copying a folder: nothing outside the copy is touched."""

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
            and "results" not in each.parts
        ):
            digest.update(str(each.relative_to(path)).encode() + each.read_bytes())
    return digest.hexdigest()


@pytest.mark.parametrize("isolation", ["docker", "venv"])
def test_a_copied_folder_is_a_contender(checkout, isolation):
    before = fingerprint(checkout.path, "bench_mine")
    checkout.engine("mine", {"float32": {}, "int8": {"precision": "int8", "artefact": "int8"}}, test_only=False)
    listed = checkout.run("list")
    assert "mine" in listed.stdout
    checked = checkout.run("check", "mine", "--device", "cpu", "--isolation", isolation)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "all checks passed" in checked.stdout
    done, summary, _ = checkout.measure("--engines", "all", "--isolation", isolation, "--new-tokens", "8")
    assert done.returncode == 0, done.stderr
    assert {name: (row["engine"], row["outcome"], row["isolation"]) for name, row in rows(summary).items()} == {
        "float32": ("mine", "ok", isolation), "int8": ("mine", "ok", isolation),
    }  # fmt: skip
    assert fingerprint(checkout.path, "bench_mine") == before


def test_check_finds_what_is_wrong(checkout):
    checkout.engine("wrong", {"float32": {}})
    folder = checkout.path / "bench_wrong"
    bench = folder / "bench.py"
    cached = "        sums = [0 for prompt in prompts]\n"
    bench.write_text(bench.read_text().replace("        sums = [sum(prompt) for prompt in prompts]\n", cached))
    (folder / "README.md").unlink()
    (folder / "requirements" / "cpu.txt").write_text("numpy>=2\n")
    done = checkout.run("check", "wrong", "--device", "cpu")
    assert done.returncode == 1
    assert "FAIL  files: missing: bench_wrong/README.md" in done.stdout
    assert "FAIL  every requirement is pinned" in done.stdout
    assert "FAIL  float32: another prompt gives other tokens" in done.stdout
    assert "FAIL  float32: log-probabilities agree" in done.stdout
