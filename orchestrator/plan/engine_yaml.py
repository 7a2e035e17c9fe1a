"""Finding engines, and reading engine.yaml strictly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from orchestrator.base.errors import UserError
from orchestrator.base.paths import ROOT
from orchestrator.models.ready import schemes
from orchestrator.plan.engine import DEVICES, PRECISIONS, STATES, VERIFIED, WRONG, DeviceEntry, Engine, Support, Variant


def discover(root: Path = ROOT) -> dict[str, Engine]:
    """All engines by name. Raises UserError with file, line, key and what was expected."""
    return {engine.name: engine for engine in (read(path) for path in sorted(root.glob("bench_*/engine.yaml")))}


class _Reader:
    """Takes a YAML tree apart and knows the line of everything it complains about."""

    def __init__(self, path: Path):
        self.path = path
        content = path.read_bytes()
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise UserError(f"{path}:{line}: not valid YAML: expected text in UTF-8") from error
        try:
            self.root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise UserError(f"{path}:{line}: not valid YAML: {error.problem}") from error
        except RecursionError:
            raise UserError(f"{path}:1: not valid YAML: nested too deeply") from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise UserError(f"{path}:{line}: not valid YAML: {error.reason}") from error

    def fail(self, node: yaml.Node | None, key: str, expected: str) -> UserError:
        line = node.start_mark.line + 1 if node is not None else 1
        return UserError(f"{self.path}:{line}: {key + ': ' if key else ''}expected {expected}")

    def fail_key(self, mapping: yaml.MappingNode, name: str, key: str, expected: str) -> UserError:
        """As `fail`, at the line of the key `name`: a block value begins a line below it."""
        return self.fail(next(each for each, _ in mapping.value if each.value == name), key, expected)

    def items(self, node: yaml.Node | None, key: str) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise self.fail(node, key, "a mapping of keys to values")
        found: dict[str, yaml.Node] = {}
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise self.fail(name, key, "plain text as a key")
            if name.value in found:
                raise self.fail(name, f"{key}.{name.value}".lstrip("."), "each key once")
            found[name.value] = value
        return found

    def section(
        self, node, key: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> dict[str, yaml.Node]:
        found = self.items(node, key)
        for name in found:
            if name not in required + optional:
                expected = f"one of the keys {', '.join(required + optional)}"
                raise self.fail_key(node, name, f"{key}.{name}".lstrip("."), expected)
        for name in required:
            if name not in found:
                raise self.fail(node, f"{key}.{name}".lstrip("."), "this key, which is missing")
        return found

    def value(self, node: yaml.Node, key: str, kind: type, choices: tuple | None = None, pattern: str | None = None):
        try:
            value = yaml.SafeLoader("").construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            raise self.fail(node, key, f"a plain value, not one tagged {node.tag}") from error
        if kind is str and isinstance(value, (int, float)) and not isinstance(value, bool):
            raise self.fail(node, key, f'text (write it in quotes: "{node.value}")')
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            names = {
                str: "text", bool: "true or false", int: "a whole number", dict: "a mapping",
                (str, bool): "false, or text that says when, on what, and where the results are",
            }  # fmt: skip
            raise self.fail(node, key, names[kind])
        if choices is not None and value not in choices:
            raise self.fail(node, key, f"one of {', '.join(map(str, choices))}, not {value!r}")
        if pattern is not None and not re.fullmatch(pattern, value):
            raise self.fail(node, key, f"text of the form {pattern}, not {value!r}")
        return value


def read(path: Path) -> Engine:
    """Read and check one engine.yaml. Raises UserError: file, line, key, what was expected."""
    reader = _Reader(path)
    required = ("name", "title", "version", "homepage", "licence", "capabilities", "devices", "variants")
    top = reader.section(
        reader.root, "", required, ("test_only", "by_default", "reference", "calibrates", "architectures", "builds_on")
    )
    name = reader.value(top["name"], "name", str, pattern="[a-z0-9_]+")
    if path.parent.name != f"bench_{name}":
        raise reader.fail(top["name"], "name", f"{path.parent.name.removeprefix('bench_')!r}, as the folder is named")
    flags = ("streams", "logprobs", "batch")
    capabilities = reader.section(top["capabilities"], "capabilities", flags, ("ragged",))
    devices = {}
    for kind, node in reader.items(top["devices"], "devices").items():
        if kind not in DEVICES:
            raise reader.fail_key(top["devices"], kind, f"devices.{kind}", f"one of {', '.join(DEVICES)}")
        devices[kind] = _device(reader, node, kind)
    variants = {}
    for label, node in reader.items(top["variants"], "variants").items():
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", label):
            raise reader.fail_key(top["variants"], label, f"variants.{label}", "a name of a-z, 0-9, '_', '-', '.'")
        variants[label] = _variant(reader, node, label, devices)
    if not variants:
        raise reader.fail(top["variants"], "variants", "at least one variant")
    text = {key: reader.value(top[key], key, str) for key in ("title", "version", "homepage", "licence")}
    if "calibrates" in top:
        text["calibrates"] = reader.value(top["calibrates"], "calibrates", str, choices=tuple(variants))
    if "builds_on" in top:
        text["builds_on"] = path.parents[1] / f"bench_{reader.value(top['builds_on'], 'builds_on', str)}"
        if text["builds_on"] == path.parent or not (text["builds_on"] / "engine.yaml").is_file():
            raise reader.fail(top["builds_on"], "builds_on", "the name of another engine's folder, without bench_")
    architectures = reader.items(top["architectures"], "architectures") if "architectures" in top else {}
    flags_of_folder = {
        key: reader.value(top[key], key, bool) for key in ("test_only", "by_default", "reference") if key in top
    }
    return Engine(
        folder=path.parent,
        name=name,
        capabilities={
            "ragged": False,
            **{key: reader.value(node, f"capabilities.{key}", bool) for key, node in capabilities.items()},
        },
        devices=devices,
        variants=variants,
        architectures={key: _architecture(reader, node, f"architectures.{key}") for key, node in architectures.items()},
        **{"test_only": False, **flags_of_folder},
        **text,
    )


def _support(reader: _Reader, node: yaml.Node, key: str) -> Support:
    """`supported`, or {state, note, link}; everything but plain support needs a note that says why."""
    if isinstance(node, yaml.ScalarNode):
        return Support(reader.value(node, key, str, choices=("supported",)))
    found = reader.section(node, key, ("state",), ("note", "link"))
    return _support_of(reader, node, found, key)


def _architecture(reader: _Reader, node: yaml.Node, key: str) -> Support:
    """As `_support`, with one state more, `wrong`, which may say `beyond` how many tokens."""
    if isinstance(node, yaml.ScalarNode):
        return _support(reader, node, key)
    found = reader.section(node, key, ("state",), ("note", "link", "beyond"))
    support = _support_of(reader, node, found, key, (*STATES, WRONG))
    if support.beyond and support.state != WRONG:
        raise reader.fail(found["beyond"], f"{key}.beyond", f"no such key where the state is not {WRONG!r}")
    return support


def _support_of(
    reader: _Reader, node: yaml.Node, found: dict[str, yaml.Node], key: str, states: tuple[str, ...] = STATES
) -> Support:  # fmt: skip
    state = reader.value(found["state"], f"{key}.state", str, choices=states)
    if state != "supported" and "note" not in found:
        raise reader.fail(node, f"{key}.note", f"the reason, since the state is {state!r}")
    names = ("note", "link", "beyond")
    texts = {name: reader.value(found[name], f"{key}.{name}", str) for name in names if name in found}
    return Support(state, **texts)


def _device(reader: _Reader, node: yaml.Node, kind: str) -> DeviceEntry:
    key = f"devices.{kind}"
    texts = ("base", "extra_index_url", "version")
    found = reader.section(node, key, ("state",), (*texts, "note", "link", "native", "verified"))
    support = _support_of(reader, node, found, key)
    if support.runs and kind != "metal" and "base" not in found:
        raise reader.fail(node, f"{key}.base", "the image that this engine's own is built on")
    values = {name: reader.value(found[name], f"{key}.{name}", str) for name in texts if name in found}
    flags = {"native": reader.value(found["native"], f"{key}.native", bool)} if "native" in found else {}
    if "verified" in found:
        flags["verified"] = reader.value(found["verified"], f"{key}.verified", (str, bool))
        if not (flags["verified"] is False or re.fullmatch(VERIFIED, str(flags["verified"]))):
            raise reader.fail(found["verified"], f"{key}.verified", "false, or text: <date>, <hardware>, <result file>")
    return DeviceEntry(support, **values, **flags)


def _variant(reader: _Reader, node: yaml.Node, label: str, devices: dict[str, DeviceEntry]) -> Variant:
    key = f"variants.{label}"
    optional = (
        "scheme", "settings", "artefact", "row_multiple", "column_multiple", "requires", "compute_capability",
        "gpus", "default", "ready",
    )  # fmt: skip
    found = reader.section(node, key, ("precision", "devices"), optional)
    support = {}
    for kind, entry in reader.items(found["devices"], f"{key}.devices").items():
        if kind not in devices:
            expected = f"a device listed under devices: {', '.join(devices)}"
            raise reader.fail_key(found["devices"], kind, f"{key}.devices.{kind}", expected)
        support[kind] = _support(reader, entry, f"{key}.devices.{kind}")

    def get(name: str, kind: type, default: Any, pattern: str | None = None) -> Any:
        return reader.value(found[name], f"{key}.{name}", kind, pattern=pattern) if name in found else default

    required = reader.items(found["requires"], f"{key}.requires") if "requires" in found else {}

    return Variant(
        name=label,
        precision=reader.value(found["precision"], f"{key}.precision", str, choices=PRECISIONS),
        scheme=get("scheme", str, label),
        settings=get("settings", dict, {}),
        artefact=get("artefact", str, None),
        row_multiple=get("row_multiple", int, None),
        column_multiple=get("column_multiple", int, None),
        requires={name: reader.value(value, f"{key}.requires.{name}", int) for name, value in required.items()},
        gpus=get("gpus", int, 1),
        compute_capability=get("compute_capability", str, None, r"(>=|<)\d+\.\d+"),
        default=get("default", bool, False),
        devices=support,
        ready=_ready(reader, found["ready"], f"{key}.ready") if "ready" in found else (),
    )


def _ready(reader: _Reader, node: yaml.Node, key: str) -> tuple[str, ...]:
    """One scheme, or a list of them."""
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    names = tuple(reader.value(each, key, str) for each in nodes)
    for each, name in zip(nodes, names, strict=True):
        if not schemes.parse(name):
            raise reader.fail(each, key, f"{schemes.EXPECTED}, not {name!r}")
    return names


def real_engines() -> list[Engine]:
    return [engine for engine in discover().values() if not engine.test_only]
