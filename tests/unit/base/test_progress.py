"""What is shown while the suite works: rewritten in place on a terminal, plain lines elsewhere, never markup."""

import io
import re
import threading

import pytest

from orchestrator.base.escape import plain
from orchestrator.base.progress import Progress
from orchestrator.base.terminal import console, is_terminal


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """(Progress, its stream) on a terminal of 60 columns."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    return Progress(stream), stream


def screen(written: str) -> list[str]:
    """What a terminal shows after `written`: line feeds, carriage returns, cursor up and erase line are obeyed."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", written):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part.endswith("A") and part.startswith("\x1b"):
            row -= int(part[2:-1])
        elif part != "\r" and not part.startswith("\x1b"):
            lines[row] += part
    return [line for line in lines if line]


def test_without_a_terminal_each_status_is_printed_now_and_then():
    now, text = [0.0], io.StringIO()
    made = Progress(text, clock=lambda: now[0])
    for second in range(31):
        now[0] = second
        made.status(f"a {second}", "a")
        made.status(f"b {second}", "b")
    assert text.getvalue().splitlines() == ["a 10", "b 10", "a 20", "b 20", "a 30", "b 30"]


def test_without_a_terminal_steps_are_lines_and_bars_are_not():
    text = io.StringIO()
    made = Progress(text)
    made.status("step 1", "a", keep=True)
    made.status("in between", "a")
    made.bar(1, 3, "launches", "bar")
    made.done("a")
    made.end()
    made.say("last")
    assert text.getvalue() == "step 1\nlast\n"


def test_on_a_terminal_every_task_has_a_line_below_what_stays(terminal):
    made, stream = terminal
    made.status("first a", "a")
    made.status("first b", "b")
    made.say("stays")
    made.status("second a", "a")
    assert screen(stream.getvalue()) == ["stays", "second a", "first b"]
    made.done("a")
    made.done("a")
    assert screen(stream.getvalue()) == ["stays", "first b"]
    made.end()
    assert screen(stream.getvalue()) == ["stays"]
    made.status("too late", "c")
    assert screen(stream.getvalue()) == ["stays"]


def test_an_unnamed_status_ends_with_the_next_line(terminal):
    made, stream = terminal
    made.status("waiting")
    assert screen(stream.getvalue()) == ["waiting"]
    made.say("done")
    assert screen(stream.getvalue()) == ["done"]


def test_a_bar_tells_its_share(terminal):
    made, stream = terminal
    made.bar(3, 10, "2 min left", "bar")
    assert screen(stream.getvalue())[0].endswith("3/10 2 min left")


def test_a_status_is_cut_and_what_stays_is_whole(terminal):
    made, stream = terminal
    made.say("x" * 150)
    made.status("y" * 150, "a")
    long, status = screen(stream.getvalue())
    assert long == "x" * 150
    assert len(status) == 60 and status.endswith("…")


def test_the_cursor_is_never_left_hidden(terminal):
    made, stream = terminal
    made.status("building", "a")
    assert stream.getvalue().rfind("\x1b[?25h") > stream.getvalue().rfind("\x1b[?25l")


def test_hostile_words_are_shown_as_text(terminal):
    made, stream = terminal
    said = "[bold]\x1b[2J\x1b]0;title\x07:smile: \x9b31mred\x08\u202eabc[/bold]"
    made.say(said)
    made.status(said + "\nsecond", "a")
    assert screen(stream.getvalue()) == ["[bold]:smile: redabc[/bold]", "[bold]:smile: redabc[/bold] second"]
    assert "title" not in stream.getvalue() and "\x1b[2J" not in stream.getvalue()


def test_no_color_and_a_dumb_terminal_are_honoured(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    Progress(stream).status("a", "a", keep=True)
    assert stream.getvalue() == "a\n"
    for env, coloured in (({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({}, True)):
        out = Terminal()
        console(out, env).print("a", style="red")
        assert ("\x1b[31m" in out.getvalue()) == coloured
    assert not is_terminal(io.StringIO(), {"TERM": "xterm"})


def test_many_threads_may_speak_at_once(terminal):
    made, stream = terminal

    def work(name):
        for number in range(50):
            made.status(f"{name} {number}", name)
        made.say(f"{name} ends")
        made.done(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(screen(stream.getvalue())) == ["a ends", "b ends", "c ends", "d ends"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("10 %\r20 %\r", "20 %"),
        ("dos\r\nlines\r\n", "dos\nlines\n"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPqpicture\x1b\\after", "after"),
        ("bell\x07 del\x7f nul\x00", "bell del nul"),
        ("\x1b", ""),
        ("\x1b]0;never ends\nnext", "\nnext"),
        ("é 漢 😀", "é 漢 😀"),
    ],
)
def test_plain(given, shown):
    assert plain(given) == shown
