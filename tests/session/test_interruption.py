"""Ctrl-C, SIGTERM and a lost terminal, at once or deferred."""

import os
import signal

import pytest

from closedloop.session.interruption import Interruption

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_interrupts_at_once(number):
    interruption = Interruption()
    with pytest.raises(KeyboardInterrupt), interruption.handled():
        send(number)
    assert interruption.requested


@pytest.mark.parametrize("number", SIGNALS)
def test_a_deferred_signal_is_only_noted(number):
    interruption = Interruption()
    with interruption.handled(), interruption.deferred():
        assert not interruption.requested
        send(number)
        assert interruption.requested


@pytest.mark.parametrize("number", SIGNALS)
def test_after_deferral_a_signal_interrupts_again(number):
    interruption = Interruption()
    with interruption.deferred():
        pass
    with pytest.raises(KeyboardInterrupt), interruption.handled():
        send(number)


def test_an_error_ends_the_deferral_as_well():
    interruption = Interruption()
    with pytest.raises(ValueError, match="inside"), interruption.deferred():
        raise ValueError("inside")
    with pytest.raises(KeyboardInterrupt), interruption.handled():
        send(signal.SIGINT)


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_a_second_signal_does_not_disturb_the_closing(first, second):
    interruption = Interruption()
    closed = False
    with interruption.handled():
        try:
            send(first)
        except KeyboardInterrupt:
            send(second)
            closed = True
    assert closed


@pytest.mark.parametrize("number", SIGNALS)
def test_the_handlers_from_before_come_back(number):
    before = signal.getsignal(number)
    interruption = Interruption()
    with interruption.handled():
        assert signal.getsignal(number) != before
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", SIGNALS)
def test_the_handlers_from_before_come_back_after_an_interruption(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), Interruption().handled():
        send(number)
    assert signal.getsignal(number) == before
