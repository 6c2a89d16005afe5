"""What the doctor says of a certificate by ACME."""

from pathlib import Path

import pytest

from postroad.config.schema import Config
from postroad.doctor.certificates import check_certificates, judged
from postroad.doctor.finding import Level
from postroad.model.renewal import DAY, Life, RenewalState
from postroad.store.acme import AcmeFolder
from tests.support.authority import Authority
from tests.support.clock import ManualClock
from tests.support.doctoring import config_of, look

NOW = 1_700_000_000_000_000
NAMES = ("a.example.com",)
FAILED = RenewalState("plan", 2, NOW - DAY, NOW + DAY, "no route")


@pytest.mark.parametrize(
    ("left", "state", "names", "level", "words"),
    [
        (60, RenewalState(), NAMES, Level.OK, "a.example.com: 60 days left, to be renewed at 2023-12-14"),
        (None, RenewalState(), NAMES, Level.PROBLEM, "there is none yet"),
        (None, FAILED, NAMES, Level.PROBLEM, "in vain 2 times, at last: no route; tried again at 2023-11-15 22:13"),
        (29, RenewalState(), NAMES, Level.OK, "29 days left"),
        (28, RenewalState(), NAMES, Level.WARNING, "28 days left, and it was to be renewed at"),
        (28, FAILED, NAMES, Level.WARNING, "28 days left; asked for in vain 2 times"),
        (6, FAILED, NAMES, Level.PROBLEM, "6 days left; asked for in vain"),
        (-1, FAILED, NAMES, Level.PROBLEM, "it expired at 2023-11-13"),
        (60, RenewalState(), (*NAMES, "b.example.com"), Level.WARNING, "60 days left; it is not for b.example.com"),
    ],
)
def test_what_is_said(left: int | None, state: RenewalState, names: tuple[str, ...], level: Level, words: str) -> None:
    life = None if left is None else Life(NAMES, NOW - (90 - left) * DAY, NOW + left * DAY, 0.0)
    finding = judged(life, state, names, 30 * 86400.0, NOW)
    assert finding.level is level, finding
    assert words in finding.what
    assert bool(finding.mend) is (level is not Level.OK)


def config_in(folder: Path) -> Config:
    return config_of('[acme]\nagree_tos = true\nbind = ["127.0.0.1:0"]\n').model_copy(update={"data_dir": folder})


def test_what_lies_there(tmp_path: Path) -> None:
    assert look(check_certificates, config=config_of()) == {}
    config = config_in(tmp_path)
    assert look(check_certificates, config=config)["certificate"].level is Level.PROBLEM
    own = Authority(tmp_path).issue("own", ["relay.example.com"])
    folder = AcmeFolder(config.acme_folder)
    folder.keep_certificate(own.key.read_bytes() + own.certificate.read_bytes())
    assert look(check_certificates, config=config)["certificate"].level is Level.OK
    folder.keep_certificate(b"nothing that makes sense")
    found = look(check_certificates, config=config, clock=ManualClock())["certificate"]
    assert found.level is Level.UNKNOWN
    assert "has no certificate in PEM form" in found.what
