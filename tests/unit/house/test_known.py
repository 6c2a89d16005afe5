"""What may have changed behind options that have not: a server with several processes reads it anew at each reload."""

import pytest

from postroad.house.known import reads_elsewhere
from tests.support.doctoring import config_of

DIRECTORY = '[directories.office]\nservers = ["ldap://127.0.0.1:389"]\n'
OAUTH = '[auth.oauth.company]\nissuer = "https://login.example.com"\naudiences = ["relay"]\n'


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", False),
        (DIRECTORY, False),
        (f'{DIRECTORY}ca = "ca.pem"\n', True),
        (OAUTH, False),
        (f'{OAUTH}ca = "ca.pem"\n', True),
        (
            f'{OAUTH}introspection = {{ url = "https://a.test", client_id = "a", client_secret = {{ env = "S" }} }}\n',
            True,
        ),
        ('[[policies]]\nuse = "helo"\n', False),
    ],
)
def test_what_is_read_from_elsewhere(more: str, *, expected: bool) -> None:
    assert reads_elsewhere(config_of(more)) is expected
