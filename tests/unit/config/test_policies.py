"""`[[policies]]` from files: built-ins by name, functions of the operator's own, and what is told about mistakes."""

import getpass
import os
from pathlib import Path

import pytest

from postroad.config.builtins import BUILT_INS
from postroad.config.checks.policies import check_policy_files
from postroad.config.diff import differences
from postroad.config.load import inspect_config, load_config
from postroad.config.policies import Preparation, prepare
from postroad.config.problem import Warned
from postroad.house.asked import read_policies
from postroad.model.errors import ConfigError
from postroad.policy.bind import bound
from postroad.policy.context import RcptContext
from postroad.policy.sample import sample
from postroad.policy.verdict import Reject

HEAD = 'hostname = "relay.example.com"\n[listeners.mx]\nbind = ["127.0.0.1:0"]\n'
OWN = '''"""Policies of a test."""
from postroad.policy.context import RcptContext
from postroad.policy.verdict import Reject, Verdict
from postroad.smtp import replies
{more}
def refuse(ctx: RcptContext, *, domain: str = "example.com") -> Verdict | None:
    """Refuse recipients of `domain`."""
    return Reject(replies.NOT_SMTP, "{word}") if ctx.recipient.domain == domain else None
'''


def written(folder: Path, text: str, **modules: str) -> Path:
    """A configuration, with modules in its folder of policies."""
    (folder / "policies").mkdir(exist_ok=True)
    for name, code in modules.items():
        (folder / "policies" / f"{name}.py").write_text(code)
    file = folder / "postroad.toml"
    file.write_text(HEAD + text)
    return file


def own(more: str = "", word: str = "first") -> str:
    return OWN.format(more=more, word=word)


def prepared(file: Path) -> Preparation:
    config = inspect_config(file, with_policies=False).config
    assert config is not None
    return prepare(config)


def verdict(file: Path) -> object:
    (one,) = prepared(file).policies
    return bound(one.declaration, one.options, {})(sample(RcptContext))


def problems(file: Path) -> list[str]:
    loaded = inspect_config(file)
    return [line.partition("postroad.toml:")[2] for line in loaded.lines(loaded.problems)]


def test_a_function_of_ones_own_is_found_in_the_folder(tmp_path: Path) -> None:
    file = written(tmp_path, '[[policies]]\nuse = "mine:refuse"\n', mine=own())
    assert problems(file) == []
    answer = verdict(file)
    assert isinstance(answer, Reject)
    assert answer.reason == "first"


def test_what_changes_in_the_folder_is_read_again_together_with_what_it_imports(tmp_path: Path) -> None:
    file = written(
        tmp_path, '[[policies]]\nuse = "mine:refuse"\n', mine="from other import refuse", other=own(word="alpha")
    )
    assert verdict(file) == Reject(verdict(file).reply, "alpha")  # type: ignore[attr-defined]
    written(tmp_path, '[[policies]]\nuse = "mine:refuse"\n', other=own(word="gamma"))  # of the same size
    assert verdict(file).reason == "gamma"  # type: ignore[attr-defined]
    assert not list(tmp_path.rglob("*.pyc"))


def test_a_package_in_the_folder(tmp_path: Path) -> None:
    file = written(tmp_path, '[[policies]]\nuse = "house.rules:refuse"\npolicies_path = 5\n')
    package = tmp_path / "policies" / "house"
    package.mkdir()
    (package / "rules.py").write_text(own(word="inner"))
    file.write_text(HEAD + '[[policies]]\nuse = "house.rules:refuse"\ndomain = "example.com"\nlisteners = ["mx"]\n')
    assert problems(file) == []
    assert verdict(file).reason == "inner"  # type: ignore[attr-defined]
    (one,) = prepared(file).policies
    assert one.concerns("mx")
    assert not one.concerns("submission")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('use = "dnsbll"\n', '5: policies[0].use: "dnsbll": is neither a policy of Postroad nor'),
        ('use = "mine:refusal"\n', '5: policies[0].use: "mine:refusal": '),
        ('use = "missing:refuse"\n', '5: policies[0].use: "missing:refuse": there is neither '),
        ('use = "mine.:x"\n', '5: policies[0].use: "mine.:x": is no "module:function"'),
        ('use = "broken:refuse"\n', '5: policies[0].use: "broken:refuse": importing it fails: ZeroDivisionError: '),
        ('use = "torn:refuse"\n', '5: policies[0].use: "torn:refuse": importing it fails: '),
        ('use = "needs:refuse"\n', '5: policies[0].use: "needs:refuse": importing it fails: No module named'),
        ('use = "json:refuse"\n', '5: policies[0].use: "json:refuse": '),
        ('use = "mine:replies"\n', '5: policies[0].use: "mine:replies": it is no function'),
        ('use = "mine:refuse"\ndomane = "a"\n', "6: policies[0].domane: unknown key; did you mean domain?"),
        ('use = "mine:refuse"\ndomain = 5\n', "6: policies[0].domain: 5: expected text"),
        ('use = "mine:refuse"\nlisteners = ["mxx"]\n', '6: policies[0].listeners[0]: "mxx": there is no such listener'),
        ('use = "dnsbl"\n', '4: policies[0]: needs zones = ["list.example.org"] or [[policies.lists]]'),
        ('use = "dnsbl"\nzones = ["a.example"]\nreject = 0\n', "4: policies[0]: reject, defer and tag are all 0"),
        ('use = "greylist"\ndelay = "5"\n', "6: policies[0].delay: \"5\": '5' is not a duration"),
        ('use = "greylist"\ndelay = "1d"\nwindow = "2h"\n', "4: policies[0]: window: has to be longer than delay"),
        ('use = "helo"\nown = "refuse"\n', '6: policies[0].own: "refuse": expected "reject" or "defer"'),
        ('listeners = ["mx"]\n', "4: policies[0].use: is required"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, text: str, problem: str) -> None:
    file = written(
        tmp_path,
        f"[[policies]]\n{text}",
        mine=own(),
        broken="1 / 0\n",
        torn="def refuse(\n",
        needs="import nowhere_to_be_found\n",
        json=own(),
    )
    found = problems(file)
    assert len(found) == 1, found
    assert found[0].startswith(problem)
    with pytest.raises(ConfigError):
        load_config(file)
    if "is required" not in problem:
        assert load_config(file, with_policies=False).policies


def test_every_list_has_its_own_mistakes(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        '[[policies]]\nuse = "dnsbl"\n[[policies.lists]]\nzone = "a.example"\nwait = "5s"\n'
        '[[policies.lists]]\nzone = "b.example"\ncodes = ["127.0.0.2", "10.0.0.1"]\n',
    )
    assert [line.partition("; known")[0] for line in problems(file)] == [
        "8: policies[0].lists[0].wait: unknown key",
        '11: policies[0].lists[1].codes[1]: "10.0.0.1": "10.0.0.1": codes lie in 127.0.0.0/8, the lower one first',
    ]


def test_options_of_policies_are_told_when_they_change(tmp_path: Path) -> None:
    old = load_config(written(tmp_path, '[[policies]]\nuse = "greylist"\ndelay = "5m"\n'))
    new = load_config(written(tmp_path, '[[policies]]\nuse = "greylist"\ndelay = "1m"\nmask_v4 = 32\n'))
    assert [str(change) for change in differences(old, new)] == [
        'policies[0].delay: "5m" -> "1m"',
        "policies[0].mask_v4: (not there) -> 32",
    ]
    more = load_config(written(tmp_path, '[[policies]]\nuse = "ptr"\nmissing = "reject"\n[[policies]]\nuse = "helo"\n'))
    assert 'policies[1]: (not there) -> { use = "helo" }' in [str(change) for change in differences(old, more)]


def test_secrets_of_policies_are_never_shown(tmp_path: Path) -> None:
    code = own("from postroad.model.option import SecretText\n").replace("*, domain", "*, key: SecretText, domain")
    entry = '[[policies]]\nuse = "mine:refuse"\nkey = "{key}"\n'
    old = load_config(written(tmp_path, entry.format(key="open sesame"), mine=code))
    new = load_config(written(tmp_path, entry.format(key="another word")))
    assert [str(change) for change in differences(old, new)] == ["policies[0].key: (secret) -> (another secret)"]
    assert "sesame" not in repr(old)
    assert read_policies(old)[0].options.model_dump()["key"].text == "open sesame"
    assert problems(written(tmp_path, '[[policies]]\nuse = "mine:refuse"\nkey = { fil = "hunter2" }\n')) == [
        '6: policies[0].key: (a secret, not shown): a secret is text, { file = "/path/to/it" } or { env = "NAME" }'
    ]


def test_every_policy_by_name_can_be_used_as_it_is(tmp_path: Path) -> None:
    needs = {"dnsbl": 'zones = ["bl.example.net"]\n'}
    text = "".join(f'[[policies]]\nuse = "{name}"\n{needs.get(name, "")}' for name in BUILT_INS)
    assert problems(written(tmp_path, text)) == []


def test_files_that_others_can_write_are_doubted(tmp_path: Path) -> None:
    file = written(tmp_path, '[[policies]]\nuse = "mine:refuse"\n', mine=own(), other=own())
    (tmp_path / "policies").chmod(0o755)
    for name in ("mine", "other"):
        (tmp_path / "policies" / f"{name}.py").chmod(0o644)
    config = load_config(file)
    assert list(check_policy_files(config)) == []
    (tmp_path / "policies" / "other.py").chmod(0o664)
    (found,) = check_policy_files(config)
    assert isinstance(found, Warned)
    assert found.text.startswith(f'"{tmp_path}/policies/other.py": others than its owner can write it')
    (tmp_path / "policies").chmod(0o777)
    assert len(list(check_policy_files(config))) == 2
    none = load_config(written(tmp_path, ""))
    assert list(check_policy_files(none)) == []


def test_files_that_the_servers_user_cannot_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, '[[policies]]\nuse = "mine:refuse"\n[process]\nuser = "nobody"\n', mine=own())
    (tmp_path / "policies").chmod(0o700)
    (tmp_path / "policies" / "mine.py").chmod(0o600)
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # as whoever will become another one
    found = [problem.text for problem in check_policy_files(load_config(file))]
    assert len(found) == 2
    assert found[1].startswith(f'"{tmp_path}/policies/mine.py" cannot be read by the user nobody (process.user)')
    mine = written(tmp_path, f'[[policies]]\nuse = "mine:refuse"\n[process]\nuser = "{getpass.getuser()}"\n')
    assert list(check_policy_files(load_config(mine))) == []
