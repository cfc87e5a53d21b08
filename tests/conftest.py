"""What holds for every test: options, and how long an example may take."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    import pytest

#: Running the program, and what it needs: any test may.
pytest_plugins = ("tests.support.program",)

# How long an example takes depends on what else the machine does; what is served is served to all examples.
# No other file loads a profile: the one that happens to be loaded last would count for every test.
settings.register_profile(
    "tests",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
# For a night: --hypothesis-profile=long --timeout=0
settings.register_profile("long", settings.get_profile("tests"), max_examples=20_000)
settings.load_profile("tests")

# Under nohup the programs that tests start would ignore SIGHUP as the tests do. A handler is not inherited:
# they start as they do from a shell, and the tests go on when the terminal is gone.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/exposition/golden anew")
