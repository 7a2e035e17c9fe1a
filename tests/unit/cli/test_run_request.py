"""What the command line's options ask a run for."""

import pytest

from orchestrator.cli import run_command
from orchestrator.machine import lock
from orchestrator.plan.cells import Shape
from tests.support.checkpoints import checkpoint
from tests.support.contenders import cell
from tests.support.results_directory import results


class Asked(Exception):
    """Carries the plan that a run would have got."""


@pytest.fixture
def request_of(monkeypatch, call, tmp_path):
    folder = checkpoint(tmp_path / "m", tokenizer=True)

    def start(plan, *_):
        raise Asked(plan)

    monkeypatch.setattr(run_command, "measure", start)

    def asked(*arguments, cells=False):
        with pytest.raises(Asked) as caught:
            call(*[folder if each == "MODEL" else each for each in arguments])
        plan = caught.value.args[0]
        return plan.cells if cells else plan.request

    return asked


def shapes(cells):
    """The cells' shapes, each once, in order."""
    return list(dict.fromkeys(cell.shape for cell in cells))


BASE = ["--engines", "dummy", "--model", "MODEL", "--isolation", "venv"]


def test_the_default_command_is_run(request_of):
    assert request_of(*BASE, "--seed", "3") == request_of("run", *BASE, "--seed", "3")


def test_defaults(request_of):
    made = request_of(*BASE)
    assert (made.device.kind, made.profile.name, made.launches, made.repetitions) == ("cpu", "quick", 1, 3)
    assert shapes(request_of(*BASE, cells=True)) == [Shape(1, 128, 128)]
    assert made.wall_s > 0
    assert made.prompt is None


def test_the_seed_is_drawn_unless_given(request_of):
    assert request_of(*BASE).seed != request_of(*BASE).seed
    assert request_of(*BASE, "--seed", "0").seed == 0


def test_options_come_before_the_profile(request_of):
    options = ["--profile", "standard", "--launches", "2", "--batch-sizes", "1,8", "--prompt-tokens", "16"]
    made = request_of(*BASE, *options)
    assert (made.launches, made.repetitions) == (2, 5)
    assert shapes(request_of(*BASE, *options, cells=True)) == [Shape(1, 16, 128), Shape(8, 16, 128)]


def test_a_batch_size_given_twice_is_measured_once(request_of):
    cells = request_of(*BASE, "--batch-sizes", "4,1,4", cells=True)
    assert shapes(cells) == [Shape(4, 128, 128), Shape(1, 128, 128)]
    assert len({cell.label for cell in cells}) == len(cells)


def test_the_older_script_s_options_are_accepted(request_of):
    short = ["-p", "Why?", "-r", "4", "-m", "9", "-d", "cpu", "-n", "MODEL"]
    long = ["--prompt", "Why?", "--repetitions", "4", "--max_tokens", "9", "--device", "cpu", "--model_name", "MODEL"]
    new = ["--prompt", "Why?", "--repetitions", "4", "--new-tokens", "9", "--device", "cpu", "--model", "MODEL"]
    rest = ["--engines", "dummy", "--isolation", "venv", "--seed", "1"]
    first, second, third = (request_of(*options, *rest) for options in (short, long, new))
    assert first == second == third
    assert (first.prompt, first.repetitions) == ("Why?", 4)


def test_the_shape_has_the_prompts_real_length(request_of):
    cells = request_of(*BASE, "-p", "Why?", "-m", "9", cells=True)
    (shape,) = shapes(cells)
    assert 1 <= shape.prompt_tokens <= 4 and shape.new_tokens == 9


def test_a_resumed_run_keeps_its_seed(request_of, tmp_path):
    results(tmp_path / "old", [cell()], seed=41)
    assert request_of(*BASE, "--resume", "--out", str(tmp_path / "old")).seed == 41


def test_a_second_run_on_the_device_is_told_to_wait(call, tmp_path, cpu):
    folder = checkpoint(tmp_path / "m")
    with lock.device_lock(cpu, tmp_path / "cache" / "locks"):
        code, _, lines = call("--engines", "dummy", "--isolation", "venv", "--model", folder)
    assert code == 75
    assert "is in use by another run" in lines[-1]
    assert lines[-1].endswith("wait for it to end")
    assert not (tmp_path / "results").exists()
