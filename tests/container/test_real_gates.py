"""The gates on real engines: they pass what is right, and catch weights that were permuted after the conversion."""

import hashlib
import json

import numpy as np
import pytest

from tests.support.checkout import ROOT, Checkout, rows

pytestmark = pytest.mark.container

BLOCK = 512  # float32 values


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, daemon):
    """A checkout whose cache may be damaged."""
    made = Checkout(tmp_path_factory.mktemp("gates") / "suite", engines=["pytorch", "llamacpp"])
    (made.path / "results").mkdir()
    made.cache = made.path / ".cache"
    return made


ARGUMENTS = ("--engines", "llamacpp", "--variants", "f32,q8_0", "--new-tokens", "16", "--prompt-tokens", "32")


@pytest.fixture(scope="module")
def sound(checkout):
    return checkout.measure(*ARGUMENTS, timeout=3000)


def test_a_real_engine_passes_its_gates(sound):
    done, summary, _ = sound
    assert done.returncode == 0, done.stderr
    exact, quantised = rows(summary)["f32"], rows(summary)["q8_0"]
    for name in ("precision", "tokens", "agreement", "cold_prefix", "self_calibration"):
        assert exact["gates"][name].startswith("pass"), (name, exact["gates"][name])
    assert exact["quality"]["kl"] < 1e-6 and exact["quality"]["top1"] > 0.999
    assert exact["quality"]["perplexity"] == pytest.approx(exact["quality"]["reference_perplexity"], rel=1e-4)
    assert exact["quality"]["tokens"] == 8 * 512
    assert quantised["gates"]["agreement"].startswith("not checked: a quantised variant")
    assert 0 < quantised["quality"]["kl"] < 0.05 and 0.9 < quantised["quality"]["top1"] < 1
    assert exact["mbu"] is None or 0 < exact["mbu"] < 1.1
    assert 0 < exact["mfu"] < 1.1
    assert summary["limits"]["bandwidth_gbs"]["best"] > 1 and summary["limits"]["matmul"]["float32"]["gflops"] > 1
    assert exact["step_bytes"]["source"].startswith("GGUF")


def test_the_report_shows_the_evidence(sound):
    _, summary, out = sound
    report = (out / "report.md").read_text()
    assert "## Five questions" in report and summary["reference"]["questions"][0] in report
    assert "memory bandwidth:" in report and "### Evidence" in report
    assert not list(out.glob("launches/*/out/logprobs-*.npy"))  # compared, and gone


def test_permuted_weights_are_invalid_output(checkout, sound):
    [artefact] = checkout.cache.glob("artefacts/llamacpp-f32-*/artefact")
    path = artefact / "model.gguf"
    content = bytearray(path.read_bytes())
    first, last = len(content) // 2 & -32, len(content) * 3 // 4 & -32
    middle = np.frombuffer(bytes(content[first:last]), np.float32)
    middle = middle[: len(middle) // BLOCK * BLOCK].reshape(-1, BLOCK)
    content[first : first + middle.nbytes] = middle[::-1].tobytes()
    path.chmod(0o644)
    path.write_bytes(content)
    manifest = json.loads((artefact / "manifest.json").read_text())
    manifest["files"]["model.gguf"] = hashlib.sha256(content).hexdigest()
    (artefact / "manifest.json").write_text(json.dumps(manifest))
    done, summary, _ = checkout.measure(*ARGUMENTS, "--variants", "f32", timeout=3000)
    row = rows(summary)["f32"]
    assert done.returncode == 1
    assert row["outcome"] == "invalid_output" and row["reason"].startswith("gate agreement: ")


def test_the_audit_command(checkout):
    table = ROOT / "docs" / "published" / "premai-2024-04.csv"
    done = checkout.run("audit", str(table), "--format", "json")
    assert done.returncode == 0, done.stderr
    verdicts = [row["verdict"] for row in json.loads(done.stdout)["rows"]]
    assert verdicts.count("impossible") == 8 and len(verdicts) == 62


def test_the_limits_command(checkout, sound):
    done = checkout.run("limits", "--device", "cpu", "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["bandwidth_gbs"]["values"]) == 3 and "float32" in found["matmul"]
