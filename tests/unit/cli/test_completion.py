"""Completion: what each place of the command line offers, and the scripts in the shells themselves."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time

import pytest

from orchestrator.base.paths import ROOT
from orchestrator.cli import completion
from orchestrator.cli.commands import COMMANDS, VARIABLE
from orchestrator.cli.main import cli
from orchestrator.plan.cells import Cell, Shape
from tests.support.contenders import cell, engine, variant
from tests.support.results_directory import results


@pytest.fixture
def complete(call, monkeypatch):
    """The values that bash is offered for a line with the cursor at its end."""

    def offered(line):
        monkeypatch.setenv(VARIABLE, "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_BREAKS", " \t\n\"'><=;|&(:")
        code, out, said = call()
        assert (code, said) == (0, [])
        return [each.partition(",")[2] for each in out.splitlines() if each]

    return offered


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("./benchmark.sh rep", {"report", "replay"}),
        ("./benchmark.sh --prof", {"--profile"}),
        ("./benchmark.sh run --prof", {"--profile"}),
        ("./benchmark.sh --engines dum", {"dummy"}),
        ("./benchmark.sh --engines pytorch,dum", {"pytorch,dummy"}),
        ("X=1 ./benchmark.sh --engines dum", {"dummy"}),
        ("./benchmark.sh run --engines=dum", {"dummy"}),
        ("./benchmark.sh build -e dum", {"dummy"}),
        ("./benchmark.sh check dum", {"dummy"}),
        ("./benchmark.sh --device c", {"cpu", "cuda"}),
        ("./benchmark.sh list --device a", set()),
        ("./benchmark.sh --profile ", {"quick", "standard", "publish"}),
        ("./benchmark.sh --isolation ", {"auto", "docker", "venv"}),
        ("./benchmark.sh --engines dummy --variants steps", {"steps-10ms"}),
        ("./benchmark.sh check dummy --variants float32,steps", {"float32,steps-10ms"}),
        ("./benchmark.sh --precisions float32,fl", {"float32,float16", "float32,float8"}),
        ("./benchmark.sh --model t", {"tiny"}),
        ("./benchmark.sh --model synth", {"synthetic:"}),
        ("./benchmark.sh --model synthetic:llama-160", {"llama-160m"}),
        ("./benchmark.sh completion ", {"bash", "zsh", "fish"}),
        ("./benchmark.sh doctor --format j", {"json"}),
        ("./benchmark.sh --engines nonsense --variants q", set()),
        ('./benchmark.sh --model "unclosed', {"unclosed"}),
    ],
)
def test_what_is_offered(complete, line, expected):
    assert set(complete(line)) == expected


def test_an_empty_line_offers_the_commands(complete):
    assert set(complete("./benchmark.sh ")) == set(COMMANDS)


def test_the_rows_of_a_results_directory(complete, tmp_path):
    q8 = variant("q8")
    results(tmp_path / "r", [cell("alpha"), Cell(engine("beta", [q8]), q8, Shape(1, 4, 3))])
    assert complete(f"./benchmark.sh replay {tmp_path / 'r'} --row ") == ["alpha:float32", "beta:q8"]
    assert complete(f"./benchmark.sh replay {tmp_path / 'r'} --row beta:q") == ["q8"]
    assert complete(f"./benchmark.sh replay {tmp_path} --row ") == []


def test_a_folder_with_spaces_is_quoted_in_every_script(monkeypatch, tmp_path):
    monkeypatch.setattr(completion, "ROOT", tmp_path / "a b")
    for shell in completion.SHELLS:
        assert f"'{tmp_path / 'a b' / 'benchmark.sh'}'" in completion.script(shell, cli)


def test_the_console_script_completes_itself(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/llm-bench", "completion", "bash"])
    printed = completion.script("bash", cli)
    assert "_BENCHMARK_SH_COMPLETE=bash_complete /somewhere/bin/llm-bench " in printed
    assert printed.rstrip().endswith(" llm-bench")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a benchmark.sh of this Python, and each shell's script."""
    monkeypatch.setattr(completion, "ROOT", tmp_path)
    program = tmp_path / "benchmark.sh"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m orchestrator "$@"\n')
    program.chmod(0o755)
    for shell in completion.SHELLS:
        (tmp_path / shell).write_text(completion.script(shell, cli))
    return tmp_path


def typed(command, folder, setup, line, wanted):
    """What a shell on a terminal shows after `line` and TAB; waits until it has `wanted`."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe(command[0], command, {**os.environ, "TERM": "xterm", "PS1": "$ ", "HOME": str(folder)})
    shown = ""
    try:
        for text, expected in ((setup, "ready7"), (line, wanted)):
            os.write(terminal, text.encode())
            until = time.monotonic() + 30
            seen = len(shown)
            while expected not in shown[seen:] and time.monotonic() < until:
                if select.select([terminal], [], [], 0.2)[0]:
                    shown += os.read(terminal, 65536).decode("utf-8", "replace")
    finally:
        os.close(terminal)
        os.waitpid(process, 0)
    return shown


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("./benchmark.sh doc\t", "./benchmark.sh doctor "),
        ("./benchmark.sh --model synthetic:llama-160\t", "--model synthetic:llama-160m "),
        ("./benchmark.sh --engines pytorch,dum\t", "--engines pytorch,dummy "),
        ("./benchmark.sh run --engines=dum\t", "--engines=dummy "),
    ],
)
def test_bash_itself_completes(folder, line, wanted):
    shown = typed(["bash", "--norc", "--noprofile", "-i"], folder, "source ./bash; echo ready$((3+4))\n", line, wanted)
    assert wanted in shown


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_each_shell_accepts_its_script(folder, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    option = {"bash": "-n", "zsh": "-n", "fish": "--no-execute"}[shell]
    done = subprocess.run([shell, option, folder / shell], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
