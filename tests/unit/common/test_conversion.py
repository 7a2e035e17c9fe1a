"""Conversion: whole or not there at all, and a failure ends in one word and a reason."""

import hashlib
import json
import sys

import pytest

from common.contract import ConversionJob, ModelFacts
from common.convert import artefact
from common.engine import Unsupported

MODEL = ModelFacts("m", "d", synthetic=False, vocab_size=64, parameters=1, path="/some/model")
JOB = ConversionJob("x", "v", "int8", "s", {}, "a", 1, MODEL)


@pytest.fixture
def out(tmp_path, monkeypatch):
    (tmp_path / "job.json").write_text(json.dumps(JOB, default=vars))
    place = tmp_path / "out"
    place.mkdir()
    monkeypatch.setattr(sys, "argv", ["convert", "--job", str(tmp_path / "job.json"), "--out", str(place)])
    return place


def visible(out):
    return sorted(path.name for path in out.iterdir())


def test_the_artefact_and_its_manifest(out):
    def convert(checkpoint, place, job):
        assert (str(checkpoint), job.scheme) == ("/some/model", "s")
        (place / "deep").mkdir()
        (place / "deep" / "weights.bin").write_bytes(b"abc")
        (place / "empty").write_bytes(b"")

    artefact.main(convert)
    assert visible(out) == ["artefact"]
    assert json.loads((out / "artefact" / "manifest.json").read_text()) == {
        "files": {
            name: hashlib.sha256(data).hexdigest() for name, data in (("deep/weights.bin", b"abc"), ("empty", b""))
        }
    }


def test_nothing_is_seen_under_the_final_name_before_the_end(out):
    def convert(_checkpoint, place, _job):
        (place / "weights.bin").write_bytes(b"half")
        assert not (out / "artefact").exists()

    artefact.main(convert)
    assert (out / "artefact" / "weights.bin").is_file()


def test_the_manifest_is_there_before_the_artefact_is(out, monkeypatch):
    def stop(path, value):
        raise OSError("no space left")

    monkeypatch.setattr(artefact, "write_json_atomically", stop)
    with pytest.raises(OSError, match="no space"):
        artefact.main(lambda _checkpoint, place, _job: (place / "w").write_bytes(b"x"))
    assert not (out / "artefact").exists()


def test_what_was_interrupted_is_neither_seen_nor_kept(out):
    def interrupted(_checkpoint, place, _job):
        (place / "stale").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        artefact.main(interrupted)
    assert not (out / "artefact").exists()
    artefact.main(lambda _checkpoint, place, _job: (place / "w").write_bytes(b"x"))
    assert sorted(path.name for path in (out / "artefact").iterdir()) == ["manifest.json", "w"]


def test_an_artefact_that_is_there_is_kept(out, capsys):
    (out / "artefact").mkdir()
    artefact.main(lambda *_: pytest.fail("converted again"))
    assert "already converted" in capsys.readouterr().out


def fail(out, error):
    def convert(_checkpoint, place, _job):
        (place / "weights.bin").write_bytes(b"half")
        if error:
            raise error
        (place / "weights.bin").unlink()

    with pytest.raises(SystemExit) as ended:
        artefact.main(convert)
    assert ended.value.code == 1
    assert visible(out) == ["error.json"]
    return json.loads((out / "error.json").read_text())


def test_a_failure_leaves_its_traceback_and_nothing_else(out):
    told = fail(out, RuntimeError("shape mismatch"))
    assert told["outcome"] == "convert_failed"
    assert told["reason"].startswith("Traceback")
    assert told["reason"].endswith("RuntimeError: shape mismatch")


def test_what_an_engine_cannot_do_is_told_in_its_own_words(out):
    assert fail(out, Unsupported("no such kernel")) == {"outcome": "unsupported", "reason": "no such kernel"}


def test_no_file_is_a_failure(out):
    assert fail(out, None)["reason"].endswith("the conversion wrote no file")


def test_a_second_try_that_works_takes_the_error_away(out):
    fail(out, RuntimeError("disk full"))
    artefact.main(lambda _checkpoint, place, _job: (place / "w").write_bytes(b"x"))
    assert visible(out) == ["artefact"]


def test_hashing_a_file_larger_than_a_piece(tmp_path):
    data = bytes(range(256)) * (5 << 12)  # 5 MiB
    (tmp_path / "f").write_bytes(data)
    assert artefact.sha256(tmp_path / "f") == hashlib.sha256(data).hexdigest()
