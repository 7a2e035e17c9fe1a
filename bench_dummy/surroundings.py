"""Tests the isolation of an engine's code: its user, writable folders, network access, and visible processes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

NOWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}  # reserved for documentation, unused
FOLDERS = ("/", "/opt/bench", "/model", "/job", "/etc", "/usr/bin", "/sys")
DOCKER_SOCKETS = (Path("/run/docker.sock"), Path("/var/run/docker.sock"))


def look_around():
    """Facts, JSON-serialisable; `reached` says for every folder, protocol and DNS whether it was usable."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {
        "uid": os.getuid(),
        "reached": {**{folder: can_write(folder) for folder in FOLDERS}, **networks()},
        "interfaces": sorted(os.listdir("/sys/class/net")),
        "environment": sorted(os.environ),
        "capabilities": status["CapEff"].strip(),
        "no_new_privileges": status["NoNewPrivs"].strip(),
        "sockets": [str(path) for path in DOCKER_SOCKETS if path.exists()],
        "devices": sorted(os.listdir("/dev")),
        "command_lines": command_lines(),
    }


def can_write(folder):
    try:
        Path(f"{folder}/written").touch()
        return True
    except OSError:
        return False


def networks():
    """{"tcp", "tcp6", "udp", "dns": whether a packet could be sent}."""
    return {
        "tcp": tries(lambda: connect(socket.AF_INET)),
        "tcp6": tries(lambda: connect(socket.AF_INET6)),
        "udp": tries(send_datagram),
        "dns": tries(lambda: socket.getaddrinfo("example.org", 80)),
    }


def tries(action):
    """Whether `action` ends without an OSError and returns something true."""
    try:
        return bool(action())
    except OSError:
        return False


def connect(family):
    with socket.socket(family) as stream:
        stream.settimeout(2)
        stream.connect((NOWHERE[family], 80))
    return True


def send_datagram():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        return datagram.sendto(b"x", (NOWHERE[socket.AF_INET], 53))


def command_lines():
    """The command lines of all visible processes."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_text(errors="replace").replace("\0", " ").strip())
        except OSError:  # the process has ended
            continue
    return lines
