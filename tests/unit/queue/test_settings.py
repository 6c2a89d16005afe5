"""Options of the queue."""

import pytest
from pydantic import ValidationError

from postroad.queue.settings import QueueSettings


def test_the_defaults_are_those_of_the_documentation() -> None:
    settings = QueueSettings()
    assert list(settings.retry) == [60, 300, 900, 1800, 3600, 7200, 14400]
    assert (settings.expire_after, settings.warn_after) == (432000, 14400)
    assert settings.suspend[-1] == 600
    assert settings.return_size == 65536


@pytest.mark.parametrize("name", ["retry", "suspend"])
@pytest.mark.parametrize("value", [(), ("0s",), ("-1s",), ("31d",), ("never",)])
def test_pauses_are_positive_and_finite(name: str, value: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        QueueSettings.model_validate({name: value})
