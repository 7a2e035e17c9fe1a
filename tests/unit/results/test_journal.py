"""The journal outlives a power cut at any byte, and what comes after it is read too."""

import errno
import json

import pytest

from orchestrator.base.errors import UserError
from orchestrator.results import journal
from orchestrator.results.journal import Journal

END = {"kind": "cell_end", "label": "a", "outcome": "build_failed", "reason": "no compiler"}
RECORDS = [
    END,
    {"kind": "standards", "limits": None, "calibration": "ä\n|", "reference": None, "no_reference": "x"},
    {"kind": "own_benchmark", "label": "a", "block": 0, "key": "k", "decode_tps": 1.5},
]


@pytest.fixture
def written(tmp_path):
    made = Journal(tmp_path)
    for record in RECORDS:
        made.append(**record)
    made.close()
    return tmp_path


def test_records_come_back_in_order(written):
    assert list(journal.read(written)) == RECORDS


def test_every_record_is_on_disk_when_append_returns(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(journal.os, "fsync", lambda fd: synced.append((tmp_path / journal.NAME).read_bytes()))
    made = Journal(tmp_path)
    made.append("end", outcome="finished")
    assert synced[-1] == b'{"kind": "end", "outcome": "finished"}\n'


def test_what_is_no_number_is_not_written(written):
    made = Journal(written)
    with pytest.raises(ValueError):
        made.append(**{**RECORDS[2], "decode_tps": float("nan")})
    made.append("end", outcome="finished")
    made.close()
    assert list(journal.read(written)) == [*RECORDS, {"kind": "end", "outcome": "finished"}]


def test_torn_at_every_byte_of_the_last_record(written, tmp_path):
    path = written / journal.NAME
    whole = path.read_bytes()
    start = whole.rstrip(b"\n").rfind(b"\n") + 1
    assert len(whole) - start > 40
    for cut in range(start, len(whole)):
        path.write_bytes(whole[:cut])
        assert list(journal.read(written)) == RECORDS[:-1], cut  # reading alone

        again = Journal(written)  # going on
        again.append("end", outcome="finished")
        again.close()
        assert list(journal.read(written)) == [*RECORDS[:-1], {"kind": "end", "outcome": "finished"}], cut
        torn = written / "journal.torn"
        assert (torn.read_bytes() if torn.exists() else b"") == whole[start:cut], cut
        torn.unlink(missing_ok=True)


def test_torn_in_the_very_first_record(tmp_path):
    (tmp_path / journal.NAME).write_bytes(b'{"kind": "ru')
    assert list(journal.read(tmp_path)) == []
    made = Journal(tmp_path)
    made.append(**END)
    made.close()
    assert list(journal.read(tmp_path)) == [END]


def test_opening_a_whole_journal_changes_nothing(written):
    before = (written / journal.NAME).read_bytes()
    Journal(written).close()
    assert (written / journal.NAME).read_bytes() == before
    assert not (written / "journal.torn").exists()


@pytest.mark.parametrize("damage", [b"\0" * 20, b"{]", b"[1]", b"\xff\xfe"])
def test_damage_in_the_middle_is_named_by_its_line(written, damage):
    path = written / journal.NAME
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + damage + b"\n" + third)
    assert json.loads(second)["kind"] == "standards"
    with pytest.raises(UserError, match=r"journal\.jsonl line 2 is damaged"):
        list(journal.read(written))


class Full:
    """A file on a disk with room for `room` further bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        taken = min(len(data), self.room)
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= taken
        return self.file.write(data[:taken])

    def fileno(self):
        return self.file.fileno()

    def close(self):
        self.file.close()


@pytest.mark.parametrize("room", [0, 1, 30])
def test_a_full_disk_leaves_the_journal_whole(written, room):
    made = Journal(written)
    made._file = Full(made._file, room)
    with pytest.raises(OSError, match=r"--resume.*journal\.jsonl") as full:
        made.append(**{**END, "reason": "x" * 100})
    assert full.value.errno == errno.ENOSPC
    made.close()
    assert list(journal.read(written)) == RECORDS
    assert (written / journal.NAME).read_bytes().endswith(b"\n")


GOOD = {"kind": "launch", "label": "a", "block": 0, "key": "k", "outcome": "ok", "gates": {}, "directory": "launches/a"}


@pytest.mark.parametrize("change", [
    {"kind": 1}, {"label": None}, {"block": "0"}, {"gates": []}, {"directory": "/etc"},
    {"directory": "launches/../../x"},
])  # fmt: skip
def test_a_record_that_its_readers_could_not_read_is_damage(tmp_path, change):
    """A launch's folder elsewhere, too: a results directory may come from somebody else."""
    path = tmp_path / journal.NAME
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps({**GOOD, **change}) + "\n")
    with pytest.raises(UserError, match=r"journal\.jsonl line 2 is damaged"):
        list(journal.read(tmp_path))


@pytest.mark.parametrize(("change", "complaint"), [
    ({"reason": None}, "reason: expected text"), ({"block": 1}, "cell_end has no block"),
])  # fmt: skip
def test_what_is_not_declared_is_not_written(tmp_path, change, complaint):
    with pytest.raises(ValueError, match=complaint):
        Journal(tmp_path).append(**{**END, **change})
    assert (tmp_path / journal.NAME).read_bytes() == b""
