"""Images are found or built; where no registry answers the Debian base is made here."""

import os
import tarfile
from types import SimpleNamespace

import pytest
from docker.errors import APIError, ImageNotFound

from orchestrator.base.errors import CellError
from orchestrator.machine.site import Site
from orchestrator.plan.engine import DeviceEntry
from orchestrator.sandbox import images
from orchestrator.sandbox.images import Images
from tests.support.contenders import SUPPORTED, engine
from tests.support.terminal_output import progress

DEBIAN = "debian:bookworm-slim@sha256:" + "a" * 64
CUDA = "nvidia/cuda:13.0-devel@sha256:" + "b" * 64


class Daemon:
    """As much of a Docker client as images.py uses: images by reference, and what was pulled and built."""

    def __init__(self, here=(), registry=(), events=()):
        self.here = {reference: f"sha256:{number}" for number, reference in enumerate(here)}
        self.registry, self.events = registry, list(events)
        self.pulled, self.built = [], []
        self.images = SimpleNamespace(get=self._get, pull=self._pull)
        self.api = SimpleNamespace(build=self._build)

    def _get(self, reference):
        if reference not in self.here:
            raise ImageNotFound("no such image")
        return SimpleNamespace(id=self.here[reference])

    def _pull(self, reference):
        self.pulled.append(reference)
        if reference not in self.registry:
            raise APIError("500 Server Error: Get https://registry.example/v2/: connection refused\nmore")
        self.here[reference] = "sha256:pulled"

    def _build(self, *, fileobj, tag, **options):
        assert options["custom_context"]
        with tarfile.open(fileobj=fileobj) as tar:
            self.built.append((tag, options["dockerfile"], options["buildargs"], tar.getnames()))
        yield {"stream": "Step 1/2 : FROM x\n"}
        yield {"stream": " ---> abc\n\n"}
        yield from self.events
        self.here[tag] = f"sha256:built{len(self.built)}"


def ensure(daemon, checkout, base=DEBIAN, settings=None, **entry):
    """(image, what was said)."""
    made, said = progress()
    builder = Images(daemon, settings or Site(), made, checkout, checkout.parent / "cache")
    contender = engine(folder=checkout / "bench_alpha", devices={"cpu": DeviceEntry(SUPPORTED, base, **entry)})
    return builder.ensure(contender, "cpu", "avx2"), said


def test_an_image_is_built_once(checkout):
    daemon = Daemon(registry=[DEBIAN])
    image, said = ensure(daemon, checkout)
    base, own = daemon.built
    assert base[0].startswith("llm-bench/base:debian-bookworm-slim-")
    assert base[1:3] == ("base.Dockerfile", {"FROM_IMAGE": DEBIAN})
    assert own[0] == image.tag
    assert image.tag.startswith("llm-bench/alpha:cpu-")
    assert own[1:3] == ("bench_alpha/Dockerfile", {"BASE_IMAGE": base[0], "DEVICE": "cpu"})
    assert "common/launch.py" in own[3]
    assert "step 1/2 : FROM x" in said.getvalue()
    again, said = ensure(daemon, checkout)
    assert again == image
    assert (len(daemon.pulled), len(daemon.built), said.getvalue()) == (1, 2, "")


def test_a_change_in_the_engine_rebuilds_the_last_layer_only(checkout):
    daemon = Daemon(registry=[DEBIAN])
    before, _ = ensure(daemon, checkout)
    (checkout / "common" / "launch.py").write_text("changed")
    after, _ = ensure(daemon, checkout)
    assert after.tag != before.tag
    assert [tag.split(":")[0] for tag, *_ in daemon.built] == ["llm-bench/base", "llm-bench/alpha", "llm-bench/alpha"]


def test_another_base_under_the_same_name_is_another_image(checkout):
    daemon = Daemon(registry=[DEBIAN])
    before, _ = ensure(daemon, checkout)
    daemon.here[DEBIAN] = "sha256:another"
    assert ensure(daemon, checkout)[0].tag != before.tag


def test_a_base_that_was_made_anew_is_another_image(checkout):
    """Debian's packages of today are not those of last month."""
    daemon = Daemon(registry=[DEBIAN])
    before, _ = ensure(daemon, checkout)
    del daemon.here[daemon.built[0][0]]
    assert ensure(daemon, checkout)[0].tag != before.tag


def test_what_is_compiled_for_this_cpu_is_named_after_it(checkout):
    daemon = Daemon(registry=[DEBIAN])
    plain, native = ensure(daemon, checkout)[0], ensure(daemon, checkout, native=True)[0]
    assert plain.tag != native.tag
    assert daemon.built[-1][2]["NATIVE_CPU"] == "avx2"


def test_the_recipe_repeats_the_build_with_plain_commands(checkout):
    image, _ = ensure(Daemon(registry=[DEBIAN]), checkout)
    pull, base, own = image.recipe
    assert pull == f"docker pull {DEBIAN}"
    assert own.startswith(
        f"docker image inspect {image.tag} >/dev/null 2>&1 || docker build -f bench_alpha/Dockerfile "
    )
    assert own.endswith(f"-t {image.tag} .")
    folder = base.split()[-1]
    assert sorted(os.listdir(folder)) == ["base.Dockerfile", "site"]


def test_where_no_registry_answers_debian_is_made_here(checkout, monkeypatch):
    daemon, asked = Daemon(), []

    def debootstrap(_self, command):
        asked.append(command)
        daemon.here["llm-bench/debian:bookworm-slim"] = "sha256:own"

    monkeypatch.setattr(Images, "_debootstrap", debootstrap)
    image, said = ensure(daemon, checkout, settings=Site(apt_mirror="http://mirror/debian"))
    assert asked == ["docker/debian_base.sh bookworm llm-bench/debian:bookworm-slim http://mirror/debian"]
    lines = said.getvalue().splitlines()
    assert any(line.startswith(f"{DEBIAN} cannot be pulled (500 Server Error") for line in lines)
    assert any("Debian's own packages (debootstrap -> docker import)" in line for line in lines)
    assert daemon.built[0][2] == {"FROM_IMAGE": "llm-bench/debian:bookworm-slim"}
    assert image.recipe[0].endswith(f"|| {asked[0]}")
    ensure(daemon, checkout)
    assert (len(daemon.pulled), len(asked)) == (1, 1)  # it is there now: nobody is asked again


def test_the_script_s_own_failure_is_told(checkout):
    (checkout / "docker" / "debian_base.sh").write_text("echo needs checkout >&2\nexit 3\n")
    with pytest.raises(CellError, match=r"`docker/debian_base.sh bookworm .*` failed:\nneeds checkout") as failed:
        ensure(Daemon(), checkout)
    assert failed.value.outcome == "build_failed"


def test_a_cuda_base_that_cannot_be_pulled_says_what_to_do(checkout):
    daemon = Daemon()
    with pytest.raises(CellError) as failed:
        ensure(daemon, checkout, base=CUDA)
    assert failed.value.outcome == "build_failed"
    assert failed.value.reason.startswith(f"base image {CUDA} cannot be pulled: 500 Server Error")
    assert failed.value.reason.endswith("load it with `docker load` and repeat")
    assert daemon.built == []


def test_a_build_that_fails_ends_with_its_last_lines(checkout):
    lines = [{"stream": f"line {number}\n"} for number in range(100)]
    daemon = Daemon(registry=[DEBIAN], events=[*lines, {"error": "The command returned a non-zero code: 1\n"}])
    with pytest.raises(CellError) as failed:
        ensure(daemon, checkout)
    reason = failed.value.reason.splitlines()
    assert failed.value.outcome == "build_failed"
    assert reason[0] == "The command returned a non-zero code: 1; the last lines were:"
    assert (reason[1], reason[-1]) == ("line 60", "line 99")


def test_the_engines_index_reaches_its_build(checkout, monkeypatch):
    monkeypatch.setattr(images, "further_indexes", lambda made, kind, site, say: f"https://{made.name}.example/{kind}")
    daemon = Daemon(registry=[DEBIAN])
    ensure(daemon, checkout)
    assert daemon.built[-1][2]["PIP_EXTRA_INDEX_URL"] == "https://alpha.example/cpu"
