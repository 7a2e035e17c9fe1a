"""Validates a checkpoint folder: complete, safetensors only, no code of its own."""

import json
from pathlib import Path

from orchestrator.base.errors import UserError
from orchestrator.base.reading import is_count, parse

INDEX = "model.safetensors.index.json"
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
FURTHER_SIZES = ("intermediate_size", "num_key_value_heads", "head_dim", "max_position_embeddings")  # optional
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
IDENTITY = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja")  # weights, configuration, tokenizer
HEADER_LIMIT = 100_000_000  # bytes; the limit of the safetensors library itself
LFS_POINTER = b"version https://git-lfs.github.com/spec/"  # https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md


def validate(folder: Path) -> dict:
    """Check the checkpoint directory `folder` and return its parsed config.json.

    Raises UserError naming the file at fault: a Git LFS pointer, a missing or unusable config.json, remote code
    (`auto_map`), a pickle, no weights, a missing, truncated or unreadable shard, a link out of the folder.
    Subfolders are not checked: no engine loads anything from them.
    """
    for name in identity_files(folder):
        refuse_pointer(folder / name)
    config = read_config(folder)
    _no_foreign_files(folder)
    shards = sorted(path.name for path in folder.glob("*.safetensors"))
    index = _index(folder)
    for name in sorted(set(index.values())):
        if name not in shards:
            raise UserError(f"{folder / name} is missing, but {INDEX} names it: fetch or copy that shard again")
    if not shards:
        raise UserError(f"{folder} has no *.safetensors file: a model is config.json and its weights as safetensors")
    tensors = {name: read_header(folder / name) for name in shards}
    for tensor, name in index.items():
        if tensor not in tensors[name]:
            raise UserError(f"{folder / name} lacks the tensor {tensor!r} that {INDEX} places there: fetch it again")
    return config


def read_config(folder: Path, shown: str | None = None) -> dict:
    """The parsed config.json of `folder` (called `shown` in messages).

    Raises UserError if it is missing, is not a transformers configuration, or needs the model's own code.
    """
    path = f"{shown or folder}/config.json"
    try:
        config = parse((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: a model is a directory with config.json and *.safetensors") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not valid JSON: {error}") from None
    names = config.get("architectures") if isinstance(config, dict) else None
    if not names or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path} has no 'architectures': a transformers config.json is expected")
    for key in (*SIZES, *(key for key in FURTHER_SIZES if config.get(key) is not None)):
        value = config.get(key)
        if not is_count(value) or value == 0:
            raise UserError(f"{path}: {key!r} is {_shown(value)}, expected a positive integer")
    for key, kind in (("rope_scaling", dict), ("rope_parameters", dict), ("model_type", str)):
        if config.get(key) is not None and not isinstance(config[key], kind):
            word = "a mapping" if kind is dict else "text"
            raise UserError(f"{path}: {key!r} is {_shown(config[key])}, expected {word}")
    if "auto_map" in config:
        raise UserError(
            f"{path} has 'auto_map': the model brings its own code, which is never run here (trust_remote_code is "
            "off); use a model whose architecture the engines know"
        )
    return config


def _shown(value: object) -> str:
    return repr(value)[:80]


def identity_files(folder: Path) -> list[str]:
    """Names of the files that define the model (not its README or licence), sorted."""
    names = {path.name for pattern in IDENTITY for path in folder.glob(pattern) if path.is_file()}
    return sorted(name for name in names if name != "manifest.json" and not name.startswith("."))


def weight_files(folder: Path) -> list[str]:
    """Names of the files that every manifest must list: the weights, their index, and config.json."""
    return [name for name in identity_files(folder) if name.endswith(".safetensors") or name in ("config.json", INDEX)]


def refuse_pointer(path: Path) -> None:
    """Raise UserError if `path` is a Git LFS pointer, as a clone made without git-lfs contains."""
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise UserError(f"{path} is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder")


def read_header(path: Path) -> dict[str, dict]:
    """The header of a safetensors file, `{tensor: {"dtype", "shape", "data_offsets"}}`, without reading the weights.

    Raises UserError if the header cannot be read or the file is not exactly as long as its header says.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if size < 8 or length > min(size - 8, HEADER_LIMIT):
            raise UserError(f"{path} is truncated or no safetensors file ({size} bytes): fetch or copy it again")
        raw = handle.read(length)
    try:
        header = json.loads(raw)
        header.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        expected = 8 + length + end
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise UserError(f"{path} has an unreadable safetensors header: fetch or copy it again") from None
    if size != expected:
        word = "truncated" if size < expected else "too long"
        raise UserError(f"{path} is {word}: {size} bytes, but its header describes {expected}: fetch or copy it again")
    return header


def _no_foreign_files(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICKLES:
            raise UserError(
                f"{path} is a pickle file, which can run any code when loaded: convert the weights to safetensors and "
                "remove it"
            )
        # Snapshots in a hub cache consist of such links. A container mounts only this folder, so they are broken there.
        if path.is_symlink() and folder.resolve() not in path.resolve().parents:
            raise UserError(
                f"{path} is a link that leads out of its folder, where a container cannot follow: "
                "copy the folder with `cp -rL` and use the copy"
            )


def _index(folder: Path) -> dict[str, str]:
    """`{tensor: shard}` of the index, or {} if the checkpoint is one file."""
    path = folder / INDEX
    if not path.exists():
        return {}
    try:
        index = json.loads(path.read_text())["weight_map"]
        # No slashes: a shard lies in this folder.
        is_valid = all("/" not in name and name.endswith(".safetensors") for name in index.values())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        is_valid = False
    if not is_valid:
        raise UserError(f"{path} is not a shard index: expected {{'weight_map': {{tensor: file name}}}}")
    return index
