"""Calls the command line as a shell would, within this process."""

import pytest

from spillover.cli import main


def call(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code
