"""Postroad, an email relay server.

Nothing is re-exported here: import a name from the file that owns it. The layers are the
table in docs/internals/layers.md, enforced by tests/meta/test_layers.py.
"""

from typing import Final

VERSION: Final = "0.1.0"
