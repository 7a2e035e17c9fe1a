"""Rows 26 and 28 of docs/trust/security.md: what an engine's code can reach, and who sees the hub's token."""

import json

import pytest

from tests.support.checkout import SMALL, rows

pytestmark = pytest.mark.parametrize("isolation", ["docker"], indirect=True)


def test_an_engine_s_code_is_locked_in(checkout, daemon, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret_of_the_test")
    faults = {"look": {"look_around": True}, "bomb": {"fault": "fork_bomb"}}
    checkout.engine("faulty", {name: {"settings": settings} for name, settings in faults.items()})
    done, summary, out = checkout.measure("--engines", "faulty", "--no-quality", *SMALL)
    found = rows(summary)
    assert found["bomb"]["outcome"] == "engine_error" and "Resource temporarily unavailable" in found["bomb"]["reason"]
    seen = found["look"]["loaded"]["extra"]
    assert not any(seen["reached"].values()), seen["reached"]
    assert seen["uid"] != 0 and int(seen["capabilities"], 16) == 0 and seen["no_new_privileges"] == "1"
    assert seen["interfaces"] == ["lo"] and seen["sockets"] == []
    assert not {"sda", "vda", "nvme0n1", "mem", "kmsg"} & set(seen["devices"])
    assert all("supervise" in line or "bench_faulty" in line for line in seen["command_lines"])
    assert "HF_TOKEN" not in seen["environment"]
    image = daemon.images.get(found["look"]["image"])
    everywhere = [done.stdout, done.stderr, json.dumps(image.attrs), json.dumps(image.history())]
    everywhere += [path.read_text(errors="replace") for path in out.rglob("*") if path.is_file()]
    assert len(everywhere) > 20
    assert not [text for text in everywhere if "hf_secret_of_the_test" in text]
