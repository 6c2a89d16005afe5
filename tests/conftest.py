"""What every test may count on: hypothesis without deadlines, and the long mode.

`make test LONG=1` sets POSTROAD_LONG: more examples for every property, more runs of the crash tests.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("ci", deadline=None, print_blob=True)
settings.register_profile(
    "long", deadline=None, print_blob=True, max_examples=2000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("long" if os.environ.get("POSTROAD_LONG") else "ci")


@pytest.fixture(scope="session")
def long_mode() -> bool:
    """True in the long mode: a test that repeats itself repeats itself more often."""
    return bool(os.environ.get("POSTROAD_LONG"))
