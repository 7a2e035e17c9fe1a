"""What the engines' folders owe their reader."""

import re
from collections import Counter

import pytest

from orchestrator.base.paths import ROOT
from orchestrator.plan import engine_yaml

FOLDERS = sorted(engine.folder for engine in engine_yaml.discover().values())
SCREEN = 65  # lines from the first of load, generate and logprobs to the end of the last


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_note_is_written_once(folder):
    """YAML's anchors repeat it: a note that is corrected in one place only would contradict itself in the tables."""
    text = (folder / "engine.yaml").read_text(encoding="utf-8")
    notes = Counter(re.findall(r"note: (\"[^\"]+\"|[^\"*\n]+\n)", text))
    assert [note for note, count in notes.items() if count > 1] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_load_generate_and_logprobs_stand_together(folder):
    lines = (folder / "bench.py").read_text(encoding="utf-8").splitlines()
    starts = [number for number, line in enumerate(lines) if re.match(r"    def (load|generate|logprobs)\(", line)]
    if starts:
        end = next(
            (n for n in range(starts[-1] + 1, len(lines)) if re.match(r"(    )?(def|class|@|if)\b", lines[n])),
            len(lines),
        )
        assert end - starts[0] <= SCREEN
    assert len(lines) <= 140


def test_the_folders_are_those_of_the_checkout():
    assert len(FOLDERS) == len(list(ROOT.glob("bench_*/engine.yaml"))) > 10
