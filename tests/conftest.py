"""What every test may count on: hypothesis without deadlines, and the long mode.

`make test LONG=1` sets POSTROAD_LONG: more examples for every property, more runs of the crash tests.
"""

import os
from functools import partial

import pytest
from hypothesis import HealthCheck, settings

from tests.support.processes import MakeRelay, Processes

settings.register_profile("ci", deadline=None, print_blob=True)
settings.register_profile(
    "long", deadline=None, print_blob=True, max_examples=2000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("long" if os.environ.get("POSTROAD_LONG") else "ci")


@pytest.fixture(scope="session")
def long_mode() -> bool:
    """True in the long mode: a test that repeats itself repeats itself more often."""
    return bool(os.environ.get("POSTROAD_LONG"))


@pytest.fixture(params=(0, 2), ids=("alone", "edges"))
def make_relay(request: pytest.FixtureRequest) -> MakeRelay:
    """Makes relays that do everything in one process, and then such with edges: what a test says must hold for both."""
    return partial(Processes, edges=request.param)
