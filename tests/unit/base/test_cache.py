"""What is made once and kept: whole or not at all, by one process, under a key that stays the same."""

import pytest

from orchestrator.base.cache import Cache, json_hash


def test_it_is_made_once(tmp_path):
    calls = []

    def make(work):
        calls.append(work)
        (work / "out" / "file").write_text("content")
        return work / "out"

    cache = Cache(tmp_path / "cache", lambda text: pytest.fail(text))
    for _ in range(2):
        place = cache.get("key", "making it", make)
        assert (place, (place / "file").read_text()) == (tmp_path / "cache" / "key", "content")
    assert len(calls) == 1 and not calls[0].exists()


def test_a_single_file_may_be_kept(tmp_path):
    def make(work):
        (work / "answer").write_text("42")
        return work / "answer"

    assert Cache(tmp_path, print).get("answer.json", "asking", make).read_text() == "42"


def test_what_fails_leaves_nothing_and_is_tried_again(tmp_path):
    def fail(work):
        (work / "out" / "half").touch()
        raise OSError("no space left")

    cache = Cache(tmp_path, print)
    with pytest.raises(OSError):
        cache.get("key", "making it", fail)
    assert not (tmp_path / "key").exists() and not list(tmp_path.rglob("half"))
    assert cache.get("key", "making it", lambda work: work / "out").is_dir()


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / ".key.4711" / "out").mkdir(parents=True)
    (tmp_path / ".key-2.4711").mkdir()
    Cache(tmp_path, print).get("key", "making it", lambda work: work / "out")
    assert not (tmp_path / ".key.4711").exists() and (tmp_path / ".key-2.4711").exists()


def test_hashes_stay_what_they_were():
    """--resume, the names of images, references and generated models depend on them."""
    value = ["tag", None, {"b": 1.5, "a": [1, "ü"]}]
    assert json_hash(value, 16) == "d9a13df5dcd14d91"
    assert json_hash({"a": 1, "b": 2}) == json_hash({"b": 2, "a": 1}) and len(json_hash(value)) == 64
