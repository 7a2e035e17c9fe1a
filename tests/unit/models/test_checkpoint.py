import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from orchestrator.base.errors import UserError
from orchestrator.models import checkpoint, manifest
from orchestrator.models import resolve as models_resolve
from orchestrator.models.model import Model
from orchestrator.models.resolve import resolve

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 16,
}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
LFS_POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 265696\n"


@pytest.fixture
def folder(tmp_path):
    """A good checkpoint of two shards."""
    path = tmp_path / "some-model"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG))
    for number, shard in enumerate(SHARDS):
        save_file({f"w{number}": np.full((4, 4), number, np.float32)}, path / shard)
    index = {"metadata": {}, "weight_map": {"w0": SHARDS[0], "w1": SHARDS[1]}}
    (path / checkpoint.INDEX).write_text(json.dumps(index))
    return path


def look(folder: Path, cache: Path | None = None, said: list | None = None) -> Model:
    return resolve(str(folder), cache or folder.parent / "cache", say=(said if said is not None else []).append)


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        look(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def make_old(folder: Path) -> None:
    """As if nothing had been written for a minute: only then a hash is remembered."""
    for path in folder.iterdir():
        stat = path.stat()
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns - 60 * 10**9))


def test_a_good_directory(folder):
    model = look(folder)
    assert (model.name, model.path, model.synthetic, model.config) == ("some-model", folder, False, CONFIG)
    assert set(model.manifest) == {"config.json", checkpoint.INDEX, *SHARDS}
    lines = "".join(
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in sorted(model.manifest)
    )
    assert model.digest == hashlib.sha256(lines.encode()).hexdigest()


def test_the_identity_is_the_content_not_the_place_or_the_readme(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    (copy / "README.md").write_text("hello")
    assert look(copy).digest == look(folder).digest
    (copy / "tokenizer.json").write_text("{}")
    assert look(copy).digest != look(folder).digest


@pytest.mark.parametrize(
    "name", ["config.json", SHARDS[0], checkpoint.INDEX, "tokenizer.json", "tokenizer.model", "merges.txt"]
)
def test_a_git_lfs_pointer_is_named_whichever_file_it_stands_for(folder, name):
    (folder / name).write_text(LFS_POINTER)
    place = folder / name
    assert refused(folder) == f"{place} is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder"


def test_a_readme_may_be_a_git_lfs_pointer(folder):
    (folder / "README.md").write_text(LFS_POINTER)
    assert "README.md" not in look(folder).manifest


def test_missing_shard(folder):
    (folder / SHARDS[1]).unlink()
    assert f"{folder / SHARDS[1]} is missing" in refused(folder)


def test_truncated_shard(folder):
    data = (folder / SHARDS[1]).read_bytes()
    (folder / SHARDS[1]).write_bytes(data[:-1])
    assert f"{folder / SHARDS[1]} is truncated: {len(data) - 1} bytes" in refused(folder)
    (folder / SHARDS[1]).write_bytes(data[:20])
    assert f"{folder / SHARDS[1]} is truncated" in refused(folder)
    (folder / SHARDS[1]).write_bytes(b"")
    assert f"{folder / SHARDS[1]} is truncated" in refused(folder)
    (folder / SHARDS[1]).write_bytes(data + b"x")
    assert "is too long" in refused(folder)


def test_unreadable_header(folder):
    data = (folder / SHARDS[0]).read_bytes()
    (folder / SHARDS[0]).write_bytes(data[:8] + b"!" + data[9:])
    assert f"{folder / SHARDS[0]} has an unreadable safetensors header" in refused(folder)


def test_shard_without_the_tensor_that_the_index_promises(folder):
    save_file({"other": np.zeros(3, np.float32)}, folder / SHARDS[0])
    assert f"{folder / SHARDS[0]} lacks the tensor 'w0'" in refused(folder)


@pytest.mark.parametrize("content", ["nonsense", "{}", '{"weight_map": {"w0": "../outside.safetensors"}}'])
def test_bad_index(folder, content):
    (folder / checkpoint.INDEX).write_text(content)
    assert f"{folder / checkpoint.INDEX} is not a shard index" in refused(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "weights.PKL", "last.ckpt"])
def test_pickles_are_refused_also_beside_safetensors(folder, name):
    (folder / name).write_bytes(b"\x80\x04.")
    message = refused(folder)
    assert str(folder / name) in message
    assert "convert the weights to safetensors" in message


def test_no_weights(folder):
    for path in folder.glob("model*"):
        path.unlink()
    assert f"{folder} has no *.safetensors" in refused(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is missing"),
        ("{", "is not valid JSON"),
        ("[]", "architectures"),
        (json.dumps(CONFIG | {"architectures": []}), "architectures"),
        (json.dumps({key: value for key, value in CONFIG.items() if key != "vocab_size"}), "'vocab_size' is None"),
        (json.dumps(CONFIG | {"hidden_size": "8"}), "'hidden_size' is '8'"),
        (json.dumps(CONFIG | {"auto_map": {"AutoConfig": "x.Y"}}), "trust_remote_code"),
    ],
)
def test_bad_config(folder, content, words):
    path = folder / "config.json"
    path.unlink() if content is None else path.write_text(content)
    message = refused(folder)
    assert str(path) in message
    assert words in message


def test_links_that_a_container_could_not_follow(folder, tmp_path):
    (folder / SHARDS[0]).rename(tmp_path / "blob")
    (folder / SHARDS[0]).symlink_to(tmp_path / "blob")
    assert f"{folder / SHARDS[0]} is a link" in refused(folder)


def test_own_manifest_is_checked_and_both_hashes_are_named(folder):
    manifest.write(folder, manifest.compute(folder, checkpoint.identity_files(folder), print))
    good = look(folder).manifest[SHARDS[0]]
    data = bytearray((folder / SHARDS[0]).read_bytes())
    data[-1] ^= 1
    (folder / SHARDS[0]).write_bytes(data)
    message = refused(folder)
    for part in (str(folder / SHARDS[0]), good, hashlib.sha256(data).hexdigest(), "restore the original file"):
        assert part in message


def test_own_manifest_must_list_the_weights_and_every_listed_file_must_exist(folder):
    files = manifest.compute(folder, checkpoint.identity_files(folder), print)
    manifest.write(folder, {name: sha for name, sha in files.items() if name != SHARDS[0]})
    assert f"{folder / SHARDS[0]} is not listed in manifest.json" in refused(folder)
    manifest.write(folder, files | {"tokenizer.json": "0" * 64})
    assert f"{folder / 'tokenizer.json'} is missing" in refused(folder)


@pytest.mark.parametrize("content", ["", "[]", '{"files": {}}', '{"files": {"a": "b"}}', '{"files": {"/a": 1}}'])
def test_own_manifest_of_another_form(folder, content):
    (folder / manifest.NAME).write_text(content)
    assert "is not a manifest" in refused(folder)
    (folder / manifest.NAME).write_text(json.dumps({"files": {"../config.json": "0" * 64}}))
    assert "is not a manifest" in refused(folder)


def test_a_change_since_the_last_run_is_told(folder):
    said: list[str] = []
    first = look(folder, said=said)
    assert not said
    assert look(folder, said=said).digest == first.digest
    assert not said
    save_file({"w0": np.ones((4, 4), np.float32)}, folder / SHARDS[0])
    assert look(folder, said=said).digest != first.digest
    assert len(said) == 1
    assert f"({SHARDS[0]})" in said[0]


def test_a_file_is_read_again_unless_size_mtime_and_inode_are_the_same(folder):
    make_old(folder)
    first = look(folder)
    path = folder / SHARDS[0]
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert look(folder).digest == first.digest  # nothing shows the change: this is what is given up for the speed
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert look(folder).digest != first.digest


def test_a_file_changed_a_moment_ago_is_not_remembered(folder):
    """Two changes within one tick of the clock leave the same mtime."""
    first = look(folder)
    path = folder / SHARDS[0]
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert look(folder).digest != first.digest


def test_the_bundled_model_is_always_checked(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(models_resolve, "BUNDLED", folder)
    with pytest.raises(UserError, match=r"manifest\.json is missing: restore it with `git checkout"):
        resolve("tiny", tmp_path)
    manifest.write(folder, manifest.compute(folder, checkpoint.identity_files(folder), print))
    make_old(folder)
    model = resolve("tiny", tmp_path)
    assert (model.name, model.path, model.synthetic) == ("tiny", folder, False)
    data = bytearray((folder / SHARDS[0]).read_bytes())
    data[-1] ^= 1
    stat = (folder / SHARDS[0]).stat()
    (folder / SHARDS[0]).write_bytes(data)
    os.utime(folder / SHARDS[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(UserError, match=f"{SHARDS[0]} was changed or damaged"):
        resolve("tiny", tmp_path)


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("tny", "unknown model 'tny': did you mean 'tiny'? valid: tiny, synthetic:<shape> (llama-160m, "),
        ("llama-160", "unknown model 'llama-160': did you mean 'synthetic:llama-160m'? valid: tiny,"),
        ("sythetic:llama-2-7b", "did you mean 'synthetic:llama-2-7b'?"),
        ("synthetic:llama-170m", "unknown synthetic shape 'llama-170m': did you mean 'llama-160m'? valid: llama-160m,"),
        ("synthetic:", "unknown synthetic shape '': valid: "),
        ("xyzzy", "unknown model 'xyzzy': valid: tiny"),
        ("", "unknown model ''"),
        ("./nowhere", "no such directory: ./nowhere"),
        ("/nowhere/at/all", "no such directory"),
        ("a/b/c", "unknown model 'a/b/c'"),
        (__file__, "is a file"),
    ],
)
def test_names_that_mean_nothing(spec, hint, tmp_path):
    with pytest.raises(UserError) as error:
        resolve(spec, tmp_path / "cache")
    assert hint in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "cache").exists()


def test_a_directory_goes_before_the_hub(folder, tmp_path, monkeypatch):
    (tmp_path / "org").mkdir()
    folder.rename(tmp_path / "org" / "name")
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    assert resolve("org/name", tmp_path / "cache", say=said.append).name == "name"
    assert "is a directory here" in said[0]
