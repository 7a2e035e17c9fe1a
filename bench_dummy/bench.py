"""A contender with known delays and faults: it tests the suite, it measures nothing.

settings: first_ms and step_ms (delays before the first and each later token), fault (see FAULTS), fault_after (steps),
forged (of FORGED, or link, pipe, huge), look_around (say what this process can reach), log_bytes (of noise in the log;
log_line: without an end of line).
Every token follows from the ids before it, so that any two runs agree: next = (31 * their sum + 7) mod vocabulary.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from common.engine import Engine, Loaded
from common.launch import main

FAULTS = (
    "raise_in_load", "raise_in_generate", "segfault", "abort", "exit_zero", "hang_in_load", "hang_in_generate",
    "hang_in_close", "ignore_sigterm", "spin", "too_few_tokens", "too_many_tokens", "wrong_batch", "eat_memory",
    "eat_memory_in_child", "leak", "lying_dtype", "lying_bytes", "leave_process", "leave_session", "fork_bomb",
    "forge",
)  # fmt: skip
FORGED = {
    "empty": "", "cut": '{"schema": 1, "outcome": "ok", "lo', "nan": '{"schema": 1, "outcome": "ok", "load_s": NaN}',
    "other": '{"schema": 99, "outcome": "ok"}', "bare": '{"schema": 1, "outcome": "ok"}',
}  # fmt: skip
NOWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}  # addresses for documentation: nobody has them
SPIN_S = 0.0015  # a sleep overshoots by 0.05 to 1 ms; the last stretch before a deadline is spent looking at the clock


def wait_until(deadline: float) -> None:
    """Return at `deadline` (monotonic seconds) to within microseconds."""
    remaining = deadline - time.monotonic()
    if remaining > SPIN_S:
        time.sleep(remaining - SPIN_S)
    while time.monotonic() < deadline:
        pass


def command_lines():
    """Of every process that can be seen from here."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text(errors="replace").replace("\0", " ").strip())
        except OSError:  # it ended meanwhile
            continue
    return found


def look_around():
    """What an engine's code could do here: who it is, where it can write, whom it can reach, what it was told."""
    reached = {}
    for place in ("/", "/opt/bench", "/model", "/job", "/etc", "/usr/bin", "/sys"):
        try:
            Path(f"{place}/written").touch()
            reached[place] = True
        except OSError:
            reached[place] = False
    for family, kind in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        try:
            with socket.socket(family) as one:
                one.settimeout(2)
                one.connect((NOWHERE[family], 80))
            reached[kind] = True
        except OSError:
            reached[kind] = False
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            reached["udp"] = bool(one.sendto(b"x", (NOWHERE[socket.AF_INET], 53)))
    except OSError:
        reached["udp"] = False
    try:
        reached["dns"] = bool(socket.getaddrinfo("example.org", 80))
    except OSError:
        reached["dns"] = False
    sockets = [str(path) for path in (Path("/run/docker.sock"), Path("/var/run/docker.sock")) if path.exists()]
    interfaces = sorted(os.listdir("/sys/class/net"))
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {
        "uid": os.getuid(), "reached": reached, "interfaces": interfaces, "environment": sorted(os.environ),
        "capabilities": status["CapEff"].strip(), "no_new_privileges": status["NoNewPrivs"].strip(),
        "sockets": sockets, "devices": sorted(os.listdir("/dev")), "command_lines": command_lines(),
    }  # fmt: skip


def eat_memory():
    hoard = []
    while True:
        hoard.append(b"x" * (64 << 20))


def shout(count, ending):
    """`count` bytes of noise to the log, in lines of 1000 or in one."""
    piece = (bytes(range(128, 256)) * 8)[:999] + (ending or b"x")
    for _ in range(count // len(piece)):
        os.write(2, piece)


def forge(kind):
    """Leave a result.json that common/launch.py did not write, and end as if all were well."""
    held = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    path = Path(next(each for each in held if each.endswith("/samples.jsonl"))).with_name("result.json")
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge":
        path.touch()
        os.truncate(path, 200 << 20)
    else:
        path.write_text(FORGED[kind])
    os._exit(0)


class Dummy(Engine):
    def load(self, job):
        self.settings = job["settings"]
        self.fault = self.settings.get("fault")
        if self.fault is not None and self.fault not in FAULTS:
            raise ValueError(f"unknown fault {self.fault!r}; known: {', '.join(FAULTS)}")
        if self.fault == "raise_in_load":
            raise RuntimeError("the dummy was told to fail in load")
        if self.fault == "leave_process":
            subprocess.Popen(["sleep", "7"])
        if self.fault == "leave_session":  # out of reach of whoever kills our process group
            subprocess.Popen(["sleep", "8"], start_new_session=True)
        if self.fault == "ignore_sigterm":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(1e6)
        if "log_bytes" in self.settings:
            shout(self.settings["log_bytes"], b"" if self.settings.get("log_line") else b"\n")
        if self.fault == "hang_in_load":
            time.sleep(1e6)
        self.leaked = []
        self.vocabulary = job["model"]["vocab_size"]
        held = "float16" if self.fault == "lying_dtype" else "float32"
        weights = job["model"]["parameters"] * {"float32": 4, "float16": 2, "bfloat16": 2}.get(job["precision"], 1)
        quantization = job["scheme"] if job["precision"] in ("int8", "int4") else None
        dtype = job["precision"] if quantization is None and held == "float32" else held
        return Loaded(
            version="1", dtype=dtype, quantization=quantization, threads=job["threads"],
            weight_bytes=weights // 2 if self.fault == "lying_bytes" else weights,
            extra=look_around() if self.settings.get("look_around") else {},
        )  # fmt: skip

    def generate(self, prompts, new_tokens):
        first_s, step_s = (self.settings.get(key, 0) / 1000 for key in ("first_ms", "step_ms"))
        sums = [sum(prompt) for prompt in prompts]
        count = new_tokens + {"too_few_tokens": -1, "too_many_tokens": 1}.get(self.fault, 0)
        deadline = time.monotonic() + first_s  # deadlines are absolute: an overshoot is not carried on
        for step in range(count):
            if self.fault and step == self.settings.get("fault_after", 3):
                self._fail()
            if self.fault == "leak":
                self.leaked.append(b"x" * (64 << 20))
            if first_s or step_s:
                wait_until(deadline)
                deadline += step_s
            tokens = [self._next(total) for total in sums]
            sums = [total + token for total, token in zip(sums, tokens, strict=True)]
            yield tokens[1:] if self.fault == "wrong_batch" else tokens

    def _next(self, total):
        return (31 * total + 7) % self.vocabulary

    def _fail(self):
        if self.fault == "raise_in_generate":
            raise RuntimeError("the dummy was told to fail in generate")
        if self.fault == "hang_in_generate":
            time.sleep(1e6)
        if self.fault == "spin":
            while True:
                pass
        if self.fault == "fork_bomb":
            while os.fork():
                pass
            time.sleep(1e6)
        if self.fault == "segfault":
            ctypes.string_at(0)
        if self.fault == "abort":
            os.abort()
        if self.fault == "exit_zero":
            os._exit(0)
        if self.fault == "forge":
            forge(self.settings["forged"])
        if self.fault == "eat_memory":
            eat_memory()
        if self.fault == "eat_memory_in_child":
            code = "from bench_dummy.bench import eat_memory; eat_memory()"
            ended = subprocess.run([sys.executable, "-c", code], check=False)
            raise RuntimeError(f"a helper ended with {ended.returncode}")

    def close(self):
        if self.fault == "hang_in_close":
            time.sleep(1e6)

    def logprobs(self, tokens):
        """Certain of the token that `generate` would yield after tokens[:i + 1]."""
        import numpy as np  # noqa: PLC0415 - a launch without scoring does not pay for it

        values = np.full((len(tokens) - 1, self.vocabulary), -50.0, dtype=np.float32)
        for row in range(len(tokens) - 1):
            values[row, self._next(sum(tokens[: row + 1]))] = 0.0
        return values


if __name__ == "__main__":
    main(Dummy)
