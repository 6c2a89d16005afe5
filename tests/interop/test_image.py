"""The container image: what its file promises, that its commands run, and in the long mode the image itself.

In the long mode it is built by buildah on a root that is copied from this machine, and run without a network.
"""

import fnmatch
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from postroad.config.load import inspect_config
from tests.meta.source import TOP
from tests.support.image import Builder, instructions
from tests.support.ports import free_port
from tests.support.relay import CAPTURE, STOP_SECONDS, greets, wait_until

FILE = instructions((TOP / "Containerfile").read_text())
CONFIG = TOP / "packaging" / "container" / "postroad.toml"
INSIDE = "/usr/lib/postroad/bin/"
LAST = FILE[max(at for at, one in enumerate(FILE) if one.word == "FROM") :]  # what the image is, not how it is made
HEALTH_PORT = "8025"


def only(word: str) -> str:
    (found,) = [one.text for one in LAST if one.word == word]
    return found


def words(word: str) -> list[str]:
    (found,) = [one for one in LAST if one.word == word]
    return found.words


def test_what_it_is_made_of_is_pinned() -> None:
    base = next(one.text for one in FILE if one.word == "ARG").removeprefix("BASE=")
    assert base.rpartition("/")[2].partition(":")[2] not in {"", "latest"}
    assert all(one.text.split()[0] == "${BASE}" for one in FILE if one.word == "FROM")
    assert not [one for one in FILE if one.word == "ADD"]
    installs = [one.text for one in FILE if one.word == "RUN" and "pip" in one.text.split("&&")[-1]]
    assert [text for text in installs if "tools/environment.py" not in text] == []
    assert '"--require-hashes"' in (TOP / "tools" / "environment.py").read_text()


def test_it_is_not_root_and_stops_as_the_server_does() -> None:
    user, group = only("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert f"--uid {user} " in next(one.text for one in LAST if "useradd" in one.text)
    after = [one.word for one in LAST[[one.word for one in LAST].index("USER") :]]
    assert not {"RUN", "COPY"} & set(after)
    assert only("STOPSIGNAL") == "SIGTERM"
    assert only("VOLUME") == "/var/lib/postroad"


def test_everything_that_is_copied_is_there_and_let_in() -> None:
    let_in = [line[1:] for line in (TOP / ".containerignore").read_text().splitlines() if line.startswith("!")]
    for one in FILE:
        if one.word == "COPY" and not one.text.startswith("--from"):
            *sources, _ = one.text.split()
            for source in sources:
                assert (TOP / source).exists()
                assert any(fnmatch.fnmatch(source, f"{name}*") for name in let_in), source


def test_its_configuration_is_sound_and_its_ports_are_told() -> None:
    loaded = inspect_config(CONFIG)
    assert loaded.config is not None, loaded.problems
    desk = loaded.config.desk
    assert desk is not None
    binds = [*loaded.config.listeners["mx"].bind, *desk.bind]
    assert sorted(only("EXPOSE").split()) == sorted(bind.rpartition(":")[2] for bind in binds)
    assert str(loaded.config.data_dir) == only("VOLUME")
    assert all(network.is_loopback for network in loaded.config.access.relay_networks)


def test_the_configuration_that_its_page_shows_is_sound(tmp_path: Path) -> None:
    page = (TOP / "docs/howto/container.md").read_text()
    example = tmp_path / "postroad.toml"
    example.write_text(page.partition("```toml\n")[2].partition("```")[0])
    loaded = inspect_config(example)
    assert loaded.config is not None, loaded.lines(loaded.problems)


def test_its_commands_run_in_the_same_layout(tmp_path: Path) -> None:
    """Entry point, command and health check, with this environment and other places and ports."""
    smtp, health = free_port(), free_port()
    config = tmp_path / "postroad.toml"
    text = CONFIG.read_text().replace("/var/lib/postroad", str(tmp_path / "data"))
    text = text.replace("0.0.0.0:2525", f"127.0.0.1:{smtp}").replace(f"127.0.0.1:{HEALTH_PORT}", f"127.0.0.1:{health}")
    config.write_text(text + CAPTURE)
    places = {INSIDE: f"{Path(sys.executable).parent}/", "/etc/postroad/postroad.toml": str(config)}

    def here(command: list[str]) -> list[str]:
        for inside, outside in places.items():
            command = [word.replace(inside, outside) for word in command]
        return [word.replace(HEALTH_PORT, str(health)) for word in command]

    check = here(words("HEALTHCHECK"))
    assert subprocess.run(check, capture_output=True, check=False).returncode != 0  # nobody is there
    with (tmp_path / "log").open("ab") as log:
        server = subprocess.Popen(here([*words("ENTRYPOINT"), *words("CMD")]), stdout=log, stderr=log, cwd=tmp_path)
        try:
            wait_until(lambda: greets(smtp), "a greeting")
            assert subprocess.run(check, capture_output=True, check=False).returncode == 0
        finally:
            server.terminate()
            assert server.wait(STOP_SECONDS) == 0


def test_without_a_builder_it_is_said_what_to_install(tmp_path: Path) -> None:
    for name in ("bash", "sed", "dirname", "env"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    done = subprocess.run(
        [TOP / "tools/image.sh"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 69
    assert "podman, buildah or docker" in done.stderr


if os.environ.get("POSTROAD_LONG"):  # it takes a minute or two

    @pytest.mark.timeout(900)
    def test_the_image_is_built_and_lives(tmp_path: Path) -> None:
        builder = Builder(tmp_path)
        try:
            builder.build("postroad:test")
            facts = json.loads(builder.buildah("inspect", "--type=image", "postroad:test"))["Docker"]["config"]
            assert facts["User"] == only("USER")
            assert facts["Healthcheck"]["Test"][1:] == words("HEALTHCHECK")
            assert [*facts["Entrypoint"], *facts["Cmd"]] == [*words("ENTRYPOINT"), *words("CMD")]
            live(builder.mount("postroad:test"), facts["User"], [*facts["Entrypoint"], *facts["Cmd"]], tmp_path)
        finally:
            builder.clear()


IN_A_CONTAINER = """
import fcntl, os, socket, struct, subprocess, sys
root, user, *command = sys.argv[1:]
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))  # the loopback of its own network
subprocess.run(["mount", "-t", "proc", "proc", root + "/proc"], check=True)
subprocess.run(["mount", "--bind", "/dev/null", root + "/dev/null"], check=True)
os.execvp("chroot", ["chroot", "--userspec=" + user, root, "/usr/bin/env", "-i", *command])
"""


def live(root: Path, user: str, command: list[str], folder: Path) -> None:
    """The first process of namespaces of its own, as a runtime starts it: it takes mail, is healthy, and drains."""
    (root / "dev/null").touch()
    config = root / "etc/postroad/postroad.toml"
    config.write_text(config.read_text() + CAPTURE)
    namespaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=SIGTERM"]
    with (folder / "log").open("ab") as log:
        runtime = subprocess.Popen(
            [*namespaces, sys.executable, "-c", IN_A_CONTAINER, root, user, *command], stdout=log, stderr=log
        )
        first: list[str] = []

        def is_there() -> bool:
            first[:] = Path(f"/proc/{runtime.pid}/task/{runtime.pid}/children").read_text().split()
            return bool(first)

        def inside(*words: str) -> "subprocess.CompletedProcess[str]":
            enter = ["nsenter", "--target", first[0], "--net", "--pid", "--root", f"--setuid={user.partition(':')[0]}"]
            return subprocess.run([*enter, *words], capture_output=True, text=True, check=False)

        wait_until(is_there, "the first process")
        wait_until(lambda: inside(*words("HEALTHCHECK")).returncode == 0, "a healthy server", 60)
        assert Path(f"/proc/{first[0]}/status").read_text().split("Uid:")[1].split()[:2] == [user.partition(":")[0]] * 2
        send = "import smtplib; smtplib.SMTP('127.0.0.1', 2525).sendmail('a@example.com', ['b@example.net'], 'x: y')"
        assert inside(f"{INSIDE}python", "-c", send).returncode == 0
        wait_until(lambda: [*(root / "var/lib/postroad/capture").rglob("*.eml")], "the captured message")
        os.kill(int(first[0]), signal.SIGTERM)
        assert runtime.wait(STOP_SECONDS) == 0
