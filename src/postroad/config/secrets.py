"""Secrets of the configuration, read where they are kept: in the option itself, in a file, in the environment.

What is read goes to whoever needs it and nowhere else: no problem's text, no warning and no page has it.
"""

import os
from pathlib import Path

from postroad.model.errors import ConfigError
from postroad.model.option import Secret


def read_secret(secret: Secret, option: str) -> str:
    """The secret's text without the newline at a file's end; ConfigError, naming `option`, when there is none."""
    if secret.env:
        text = os.environ.get(secret.env, "")
        if not text:
            raise ConfigError([f"{option}: the environment has no {secret.env}"])
        return text
    if not secret.file:
        return secret.text
    try:
        text = Path(secret.file).read_text("utf-8").strip("\r\n")
    except OSError as error:
        raise ConfigError([f"{option}: {secret.file} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{option}: {secret.file} is not UTF-8 text"]) from None
    if not text:
        raise ConfigError([f"{option}: {secret.file} is empty"])
    return text
