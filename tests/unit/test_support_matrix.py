"""The support matrix in README.md is what the engine.yaml files say."""

from orchestrator import engines, matrix
from orchestrator.paths import ROOT


def real():
    return [engine for engine in engines.discover().values() if not engine.test_only]


def test_the_readme_is_up_to_date():
    text = (ROOT / "README.md").read_text()
    written = text.split(matrix.BEGIN)[1].split(matrix.END)[0].strip()
    assert written == matrix.markdown(real()).strip(), "run ./benchmark.sh list --update README.md"


def test_update_changes_only_what_lies_between_the_marks(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"before\n{matrix.BEGIN}\nsuperseded\n{matrix.END}\nafter\n")
    matrix.update(path, real())
    text = path.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "superseded" not in text
    assert all(engine.title in text for engine in real())
