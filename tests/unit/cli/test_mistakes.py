"""The command line: a mistake is one line and exit code 2, and nothing is written."""

import pytest

from tests.support.checkpoints import checkpoint
from tests.support.terminal_output import complaint

WRONG = [
    (["--engines", "dumy"], "unknown engine 'dumy': did you mean 'dummy'? valid: dummy, all, "),
    (["--engines", "dummy,pytorhc"], "unknown engine 'pytorhc': did you mean 'pytorch'?"),
    (["--engines", ","], "--engines names no engine; valid: all, "),
    (["--variants", "steps-10"], "unknown variant 'steps-10': did you mean 'steps-10ms'?"),
    (["--precisions", "int9"], "unknown precision 'int9': did you mean 'int8'? valid: int8, all, float32"),
    (["--precisions", "int4", "--variants", "crash"], "no variant of dummy matches --precisions int4 --variants crash"),
    (["--device", "cude"], "unknown device 'cude': "),
    (["--device", "cuda"], "--device cuda: "),
    (["--device", "rocm"], "--device rocm: "),
    (["--device", "cpu", "--gpus", "0"], "--gpus 0 has no meaning with --device cpu"),
    (["--model", "tinny"], "unknown model 'tinny': did you mean 'tiny'? valid: tiny, synthetic:"),
    (["--model", "synthetic:llama-150m"], "unknown synthetic shape 'llama-150m': did you mean 'llama-160m'?"),
    (["--model", "./nowhere"], "no such directory: ./nowhere"),
    (["--model", " "], "--model is empty: give tiny"),
    (["--model", "./nowhere.yaml"], "no such file: nowhere.yaml; a model's entry is a YAML file"),
    (["--artefacts", "redy"], "unknown kind of artefacts 'redy': did you mean 'ready'? valid: ready, convert"),
    (["--artefacts", "ready"], "--artefacts ready: --model must be an entry FILE.yaml that names checkpoints under"),
    (["--profile", "quik"], "unknown profile 'quik': did you mean 'quick'? valid: quick, standard, publish"),
    (["--isolation", "chroot"], "unknown isolation 'chroot': valid: "),
    (["--batch-sizes", "1,x"], "Invalid value for '--batch-sizes': expected whole numbers from 1 on"),
    (["--batch-sizes", "0"], "Invalid value for '--batch-sizes': expected whole numbers from 1 on"),
    (["--batch-sizes", ","], "Invalid value for '--batch-sizes': expected whole numbers from 1 on"),
    (["--new-tokens", "1"], "Invalid value for '--new-tokens' / '-m' / '--max_tokens'"),
    (["--repetitions", "0"], "Invalid value for '--repetitions' / '-r'"),
    (["--launches", "many"], "Invalid value for '--launches'"),
    (["--lauches", "3"], "No such option"),
    (["--resume"], "--resume: "),
    (["surplus"], "Got unexpected extra argument"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(each) for each, _ in WRONG])
def test_a_mistake_is_one_line_and_nothing_is_written(call, tmp_path, arguments, message):
    engine = [] if "--engines" in arguments else ["--engines", "dummy"]
    isolation = [] if "--isolation" in arguments else ["--isolation", "venv"]
    assert complaint(call("run", *engine, *isolation, *arguments)).startswith(message)
    assert not (tmp_path / "results").exists()


def test_a_mistake_leaves_no_directory_named_by_out(call, tmp_path):
    complaint(call("--engines", "dummy", "--isolation", "venv", "--model", "tinny", "--out", tmp_path / "mine"))
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(("word", "closest"), [("doktor", "doctor"), ("mrege", "merge")])
def test_an_unknown_command(call, word, closest):
    assert complaint(call(word)).startswith(f"unknown command {word!r}: did you mean {closest!r}? valid: {closest}, ")


def test_cuda_without_a_gpu_says_what_is_missing_and_what_to_do(call):
    line = complaint(call("--engines", "dummy", "--device", "cuda"))
    assert "driver" in line
    assert "--device auto" in line


def test_another_s_results_are_not_overwritten(call, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "notes.txt").write_text("mine")
    line = complaint(call("--engines", "dummy", "--isolation", "venv", "--out", tmp_path / "old"))
    assert line.endswith("is not empty: add --resume to continue there, or name another --out")
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["notes.txt"]


def test_out_that_is_a_file(call, tmp_path):
    (tmp_path / "old").write_text("mine")
    line = complaint(call("--engines", "dummy", "--isolation", "venv", "--out", tmp_path / "old"))
    assert str(tmp_path / "old") in line
    assert (tmp_path / "old").read_text() == "mine"


def test_resume_needs_a_journal(call, tmp_path):
    (tmp_path / "old").mkdir()
    line = complaint(call("--engines", "dummy", "--resume", "--out", tmp_path / "old"))
    assert "holds no journal.jsonl; name the directory to continue with --out" in line


def test_a_tokenizer_of_which_git_lfs_left_a_pointer_is_named_before_anything_is_built(call, tmp_path):
    tokenizer = checkpoint(tmp_path / "m", tokenizer=True) / "tokenizer.json"
    tokenizer.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 265696\n")
    line = complaint(call("--engines", "dummy", "--isolation", "venv", "--model", tokenizer.parent))
    assert line == f"{tokenizer} is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder"
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("prompt", ["", "Why is the sky blue?"])
def test_a_prompt_that_cannot_be_used_is_refused_before_anything_is_written(call, tmp_path, prompt):
    folder = checkpoint(tmp_path / "m", tokenizer=prompt == "")
    line = complaint(call("--engines", "dummy", "--isolation", "venv", "--model", folder, "--prompt", prompt))
    assert line.startswith("--prompt ")
    assert not (tmp_path / "results").exists()
