"""The one line with which a limit refuses."""

import pytest

from closedloop.errors import ConfigError


@pytest.fixture
def refusal():
    """Return a function that gives the one line with which a call is refused."""

    def line_of(call, *arguments, **options):
        with pytest.raises(ConfigError) as caught:
            call(*arguments, **options)
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        return message

    return line_of
