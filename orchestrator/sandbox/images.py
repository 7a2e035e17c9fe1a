"""Builds images whose names contain a content hash: a stale image has another name and is never run.

Three layers: the distribution (pulled, or built from Debian packages if no registry answers), the site layer
(docker/base.Dockerfile) and the engine (bench_x/Dockerfile). Docker's classic builder is enough.
"""

from __future__ import annotations

import io
import math
import os
import re
import shutil
import subprocess
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from urllib3.exceptions import ReadTimeoutError

from orchestrator.base.cache import Cache
from orchestrator.base.errors import CellError, disk_full_or
from orchestrator.base.progress import Progress, duration
from orchestrator.machine.site import Site
from orchestrator.plan.engine import Engine
from orchestrator.plan.profiles import BUILD_S
from orchestrator.sandbox.image_context import content_hash, context_files, context_tar, site_files
from orchestrator.sandbox.package_index import further_indexes

NAME = "llm-bench"
LABEL = "llm-inference-bench"
LOG_LINES = 40


@dataclass(frozen=True)
class Image:
    """An engine's image. `recipe` rebuilds it with plain docker commands from the checkout's root."""

    tag: str
    id: str
    recipe: tuple[str, ...]


class Images:
    """Finds or builds images. One object per run, so that an unreachable registry is tried only once."""

    def __init__(
        self,
        client: docker.DockerClient,
        site: Site,
        progress: Progress,
        root: Path,
        cache: Path,
        build_s: float = BUILD_S,
    ):
        self._client, self._site, self._progress = client, site, progress
        self._root, self._cache, self._build_s = root, cache, build_s
        self._bases: dict[str, tuple[str, list[str]]] = {}
        self._one_base_at_a_time = threading.Lock()

    def ensure(self, engine: Engine, kind: str, cpu_features: str) -> Image:
        """The image of `engine` for a device kind, built unless one with this content exists.

        Raises CellError("build_failed") with the last log lines.
        """
        entry = engine.devices[kind]
        if entry.base is None:
            raise CellError("build_failed", f"{engine.folder.name}/engine.yaml names no base image for {kind}")
        base, recipe = self._base(entry.base)
        arguments = {"BASE_IMAGE": base, "DEVICE": kind}
        if entry.native:
            arguments["NATIVE_CPU"] = cpu_features  # compiled for this CPU; another needs its own image
        extra = further_indexes(engine, kind, self._site, self._progress.say)
        if extra:
            arguments["PIP_EXTRA_INDEX_URL"] = extra
        files = context_files(self._root, *engine.folders)
        tag = f"{NAME}/{engine.name}:{kind}-{content_hash(files, arguments, self._image_id(base))}"
        recipe = [*recipe, docker_build_line(f"{engine.folder.name}/Dockerfile", arguments, tag, ".")]
        image_id = self._image_id(tag)
        if image_id is None:
            self._progress.say(f"{engine.name}: building image {tag}")
            image_id = self._build(tag, f"{engine.folder.name}/Dockerfile", context_tar(files), arguments, engine.name)
        return Image(tag, image_id, tuple(recipe))

    def recall(self, tag: str, image_id: str, recipe: tuple[str, ...]) -> Image | None:
        """The image with this id if the daemon still has it, whatever the checkout contains now."""
        return Image(tag, image_id, recipe) if self._image_id(image_id) else None

    # -- the site layer and the distribution ------------------------------------------------------------------------

    def _base(self, reference: str) -> tuple[str, list[str]]:
        with self._one_base_at_a_time:  # engines are built in parallel, most on the same base
            if reference not in self._bases:
                self._bases[reference] = self._make_base(reference)
            return self._bases[reference]

    def _make_base(self, reference: str) -> tuple[str, list[str]]:
        below, recipe = self._distribution(reference)
        files = site_files(self._site, self._root)
        arguments = {"FROM_IMAGE": below}
        digest = content_hash(files, arguments, self._image_id(below))
        tag = f"{NAME}/base:{re.sub('[^a-z0-9]+', '-', reference.partition('@')[0])}-{digest}"
        folder = self._materialise(files, digest)
        recipe = [*recipe, docker_build_line(str(folder / "base.Dockerfile"), arguments, tag, str(folder))]
        if self._image_id(tag) is None:
            self._progress.say(f"base image: adding this site's CA bundle, indexes and wheelhouse to {below}")
            self._build(tag, "base.Dockerfile", context_tar(files), arguments, "base image")
        return tag, recipe

    def _distribution(self, reference: str) -> tuple[str, list[str]]:
        """The distribution's image: present, pulled, or built from Debian packages."""
        debian = re.fullmatch(r"debian:([a-z]+)-slim(@sha256:[0-9a-f]{64})?", reference)
        own = f"{NAME}/debian:{debian[1]}-slim" if debian else ""
        make = f"docker/debian_base.sh {debian[1]} {own} {self._site.apt_mirror or ''}".strip() if debian else ""
        if self._image_id(reference):
            return reference, [f"docker pull {reference}"]
        if own and self._image_id(own):
            return own, [unless_image(own, make)]
        self._progress.say(f"pulling {reference}")
        try:
            self._client.images.pull(reference)
            return reference, [f"docker pull {reference}"]
        except (DockerException, OSError) as error:
            reason = str(error).splitlines()[0][:160]
            if not debian:
                raise CellError(
                    "build_failed",
                    f"base image {reference} cannot be pulled: {reason}; load it with `docker load` and repeat",
                ) from error
            self._progress.say(f"{reference} cannot be pulled ({reason})")
            self._progress.say(
                "making the same base from Debian's own packages (debootstrap -> docker import), about a minute"
            )
        self._debootstrap(make)
        return own, [unless_image(own, make)]

    def _debootstrap(self, command: str) -> None:
        lines: deque[str] = deque(maxlen=LOG_LINES)
        started = time.monotonic()
        with subprocess.Popen(
            ["sh", *command.split()],
            cwd=self._root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                spent = duration(time.monotonic() - started)
                self._progress.status(f"  debootstrap {spent}: {lines[-1]}", "debootstrap")
        self._progress.done("debootstrap")
        if process.returncode:
            raise CellError("build_failed", f"`{command}` failed:\n" + "\n".join(lines))

    def _materialise(self, files: dict[str, Path | bytes], digest: str) -> Path:
        """Write the site layer's context into a folder, so that a plain `docker build` can repeat the build."""

        def make(work: Path) -> Path:
            for name, content in files.items():
                target = work / "out" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, bytes):
                    target.write_bytes(content)
                else:
                    try:
                        os.link(content, target)  # a wheelhouse can be large
                    except OSError:
                        shutil.copyfile(content, target)
            return work / "out"

        return Cache(self._cache / "site", self._progress.say).get(digest, "laying out the site's settings", make)

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _image_id(self, reference: str) -> str | None:
        try:
            return self._client.images.get(reference).id
        except (ImageNotFound, NotFound):
            return None

    def _build(self, tag: str, dockerfile: str, context: io.BytesIO, arguments: dict[str, str], engine: str) -> str:
        lines: deque[str] = deque(maxlen=LOG_LINES)
        step, started, stream = "", time.monotonic(), None
        try:
            stream = self._client.api.build(
                fileobj=context, custom_context=True, dockerfile=dockerfile, tag=tag, buildargs=arguments, rm=True,
                forcerm=True, decode=True, timeout=math.ceil(self._build_s),
            )  # fmt: skip
            for event in stream:
                if time.monotonic() - started > self._build_s:
                    raise TimeoutError
                for line in event.get("stream", "").splitlines():
                    if not line.strip():
                        continue
                    lines.append(line.rstrip())
                    if line.startswith("Step "):
                        step = line.strip().removeprefix("Step ")
                        self._progress.status(f"  {engine}: step {step[:140]}", engine, keep=True)
                    else:
                        spent = duration(time.monotonic() - started)
                        self._progress.status(f"  {engine}: step {step.split(' ')[0]}, {spent}: {lines[-1]}", engine)
                if "error" in event:
                    reason = f"{event['error'].strip()}; the last lines were:\n" + "\n".join(lines)
                    raise CellError(disk_full_or("build_failed", reason), reason)
        except (TimeoutError, ReadTimeoutError) as error:  # ReadTimeoutError: a step without output
            if stream is not None:
                stream.close()  # the daemon cancels a build whose client is gone
            reason = f"the build took longer than {self._build_s:.0f} s; its last lines were:\n" + "\n".join(lines)
            raise CellError("build_failed", reason) from error
        except (APIError, OSError) as error:
            reason = f"docker build: {error}\n" + "\n".join(lines)
            raise CellError(disk_full_or("build_failed", reason), reason) from error
        finally:
            self._progress.done(engine)
        self._progress.say(f"  {engine}: image built in {duration(time.monotonic() - started)}")
        image = self._image_id(tag)
        if image is None:
            raise CellError("build_failed", f"the daemon reported success, and has no image {tag}")
        return image


def docker_build_line(dockerfile: str, arguments: dict[str, str], tag: str, context: str) -> str:
    """The build as a shell command, skipped if the image exists."""
    flags = " ".join(f"--build-arg {key}={value}" for key, value in arguments.items())
    return unless_image(tag, f"docker build -f {dockerfile} {flags} -t {tag} {context}")


def unless_image(tag: str, command: str) -> str:
    """A shell line that runs `command` if there is no image `tag`."""
    return f"docker image inspect {tag} >/dev/null 2>&1 || {command}"
