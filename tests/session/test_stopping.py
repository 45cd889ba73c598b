"""How a live session ends when somebody asks for it: well, or not."""

import sys
from types import SimpleNamespace

import pytest

from closedloop.session.interruption import Interruption

if sys.platform != "linux":
    pytest.skip("the live loop runs on Linux only", allow_module_level=True)

import closedloop.session.live
import closedloop.session.run
from closedloop.core.records import Command
from closedloop.session.folder import SessionFolder
from closedloop.session.live import stop_session
from closedloop.session.run import run_session


class Supervisor:
    """Takes commands."""

    def __init__(self):
        self.posted, self.halted = [], False

    def post(self, command):
        self.posted.append(command)

    def halt(self):
        self.halted = True


def stopped(need="", *, well=True):
    """Stop a session; return whether it was stopped, whether it was interrupted, and its trouble."""
    outcome, supervisor, interruption = SimpleNamespace(trouble=None), Supervisor(), Interruption()
    stop_session(outcome, supervisor, interruption, need, well=well)
    assert (supervisor.posted, supervisor.halted) == ([Command.STOP], True)
    return outcome.stopped, interruption.requested, outcome.trouble


def test_what_was_armed_and_lacks_nothing_ends_well():
    assert stopped() == (True, False, None)


def test_before_it_was_armed_and_without_a_terminal_it_is_interrupted():
    assert stopped(well=False) == (False, True, None)


def test_while_something_keeps_it_disarmed_that_is_its_trouble():
    need = "the amplifier broke off: press a to arm"
    assert stopped(need) == (True, False, f"the session was stopped while disarmed: {need}")


@pytest.mark.parametrize(
    ("stopped", "trouble", "asked", "status"),
    [
        (False, None, None, "complete"),
        (True, None, None, "stopped"),
        (False, None, "while it ran", "interrupted"),
        (False, "the device failed", None, "interrupted"),
        (True, "the device failed", None, "interrupted"),
        # What was done to a person is done, whatever it is compared with afterwards.
        (False, None, "while it was compared", "complete"),
        (True, None, "while it was compared", "stopped"),
    ],
)
def test_how_a_session_ended_is_its_status(
    make_pipeline, make_device, tmp_path, monkeypatch, stopped, trouble, asked, status
):
    interruption = Interruption()

    def run(outcome, folder, **_):
        outcome.stopped, outcome.trouble = stopped, trouble
        outcome.source = outcome.calibration = SimpleNamespace(recording=SimpleNamespace(duration_s=1.0))
        interruption.requested = asked == "while it ran"

    def compare(*_, **__):
        interruption.requested = asked == "while it was compared"
        if interruption.requested:
            raise KeyboardInterrupt

    monkeypatch.setattr(closedloop.session.live, "run_live", run)
    monkeypatch.setattr(closedloop.session.run, "run_surrogate", compare)
    outcome = run_session(
        make_pipeline({"source": {"type": "lsl", "stream": {"type": "EEG"}}}),
        make_device(),
        SessionFolder(tmp_path / "session"),
        n_surrogates=1,
        interruption=interruption,
        progress=lambda *_: None,
        operator=object(),
    )
    assert outcome.status == status
