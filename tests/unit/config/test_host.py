"""What this host must offer: a folder that can be written, a user that exists."""

import getpass
import os
from pathlib import Path

from postroad.config.checks.host import check_host
from postroad.config.problem import path_text
from postroad.config.schema import Config


def _problems(data_dir: Path, user: str = "") -> list[str]:
    config = Config.model_validate(
        {
            "hostname": "relay.example.com",
            "data_dir": data_dir,
            "listeners": {"mx": {"bind": ["127.0.0.1:2525"]}},
            "process": {"user": user},
        }
    )
    return [f"{path_text(problem.path)}: {problem.text}" for problem in check_host(config)]


def test_a_folder_that_can_be_made_is_fine(tmp_path: Path) -> None:
    assert _problems(tmp_path / "a" / "b", getpass.getuser()) == []


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert _problems(tmp_path / "a" / "b") == [f'data_dir: "{tmp_path}/a/b": {tmp_path}/a is not a folder']


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    child = os.fork()  # a child gives its privileges up, so that root can run this test as well
    if child == 0:
        if os.getuid() == 0:
            os.setuid(65534)
        found = _problems(tmp_path / "closed" / "data")
        os._exit(0 if len(found) == 1 and "cannot be written by the user" in found[0] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_unknown_user(tmp_path: Path) -> None:
    (problem,) = _problems(tmp_path, "no-such-user-here")
    assert problem.startswith('process.user: "no-such-user-here": there is no such user on this host')
