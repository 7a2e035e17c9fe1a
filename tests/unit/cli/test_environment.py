"""orchestrator/environment.sh: the suite's own virtual environment, made with stand-ins for Python and pip."""

import shutil
import subprocess

import pytest

from orchestrator.base.paths import ROOT

PYTHON = """\
#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    printf '#!/bin/sh\\necho pip "$@"\\nexit ${PIP_EXIT:-0}\\n' > "$3/bin/pip"
    chmod +x "$3/bin/pip"
fi
exit 0
"""


@pytest.fixture
def source(tmp_path):
    """Source environment.sh in a checkout of its own: (exit code, stdout, stderr's lines)."""
    (tmp_path / "checkout").mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "checkout")
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)

    def run(extra="", **environment):
        script = (
            f'set -eu; here="{tmp_path}/checkout"; extra={extra}; . "{ROOT}/orchestrator/environment.sh"; echo went on'
        )
        environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(tmp_path / "python"), **environment}
        done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()

    run.checkout = tmp_path / "checkout"
    return run


def test_the_suite_is_installed_once_and_again_when_its_requirements_change(source):
    install = "pip install --quiet --disable-pip-version-check -e ."
    assert source() == (
        0,
        [install, "went on"],
        [f"making the suite's own virtual environment in {source.checkout}/.venv (first use)"],
    )
    assert source() == (0, ["went on"], [])
    assert source("test") == (0, [install + "[test]", "went on"], ["installing what the extra 'test' needs"])
    assert source("test") == source() == (0, ["went on"], [])
    with (source.checkout / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    assert source()[1] == [install, "went on"]


def test_an_installation_that_fails_is_one_line_and_leaves_nothing_half_made(source):
    code, _, said = source(PIP_EXIT="1")
    assert code == 2 and said[-1].startswith("error: pip could not install")
    assert not (source.checkout / ".venv").exists()
    source()
    code, _, said = source("test", PIP_EXIT="1")
    assert code == 2 and said[-1].startswith("error: pip could not install")
    assert source() == (0, ["went on"], [])


def test_a_checkout_that_cannot_be_written_to_is_one_line(source):
    """Root may write everywhere, so the test of writability itself is replaced."""
    text = (ROOT / "orchestrator" / "environment.sh").read_text()
    assert '[ -w "$here" ]' in text
    script = f'here="{source.checkout}"\n' + text.replace('[ -w "$here" ]', "false")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {source.checkout} cannot be written to") and done.stderr.count("\n") == 1
