"""When a signal is heard."""

import os
import signal

import pytest

from orchestrator.base.signals import postponed, terminated_as_interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_for_the_end_of_a_step_and_is_not_lost(number):
    done = []
    with pytest.raises(KeyboardInterrupt), terminated_as_interrupt(), postponed():
        os.kill(os.getpid(), number)
        done.append("all of it")
    assert done == ["all of it"]


def test_without_an_interrupt_nothing_is_raised_and_signals_are_as_before():
    before = signal.getsignal(signal.SIGINT)
    with postponed():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_a_failure_of_the_step_is_its_own():
    with pytest.raises(ValueError, match="mine"), postponed():
        raise ValueError("mine")
