"""Images are named by what went into them, and a change of the suite's own code does not repeat the install."""

import pytest

pytestmark = pytest.mark.container
AFTER_INSTALL = 3  # layers: common/, the folder, their byte code


def build(checkout, engine):
    done = checkout.run("build", "--engines", engine, "--device", "cpu", "--isolation", "docker")
    assert done.returncode == 0, done.stderr
    return done.stdout.split(": ", 1)[1].strip()


def test_a_change_has_a_new_name_and_reuses_the_slow_layers(checkout, daemon):
    checkout.engine("layered", {"one": {}})
    before = build(checkout, "layered")
    assert build(checkout, "layered") == before
    path = checkout.path / "common" / "timing.py"
    path.write_text(path.read_text() + "\n# changed\n")
    after = build(checkout, "layered")
    assert after != before
    old, new = (daemon.images.get(tag).attrs["RootFS"]["Layers"] for tag in (before, after))
    shared = [a for a, b in zip(old, new, strict=True) if a == b]
    assert old[: len(shared)] == shared and len(old) - len(shared) <= AFTER_INSTALL, "the install was repeated"
