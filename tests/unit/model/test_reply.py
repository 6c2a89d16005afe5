"""Replies on the wire (RFC 5321 4.2.1, RFC 2034 4)."""

from postroad.model.reply import Reply


def test_one_line() -> None:
    assert Reply(250, "2.1.5", "Ok").encode() == b"250 2.1.5 Ok\r\n"
    assert Reply(354, "", "go").encode() == b"354 go\r\n"


def test_more_lines() -> None:
    assert Reply(250, "", "a\nb\nc").encode() == b"250-a\r\n250-b\r\n250 c\r\n"
    assert Reply(214, "2.0.0", "a\nb").encode() == b"214-2.0.0 a\r\n214 2.0.0 b\r\n"


def test_classes_and_text() -> None:
    assert Reply(250).is_positive
    assert Reply(451).is_transient
    assert Reply(550).is_permanent
    assert str(Reply(550, "5.1.1", "no\nsuch user")) == "550 5.1.1 no such user"
    assert str(Reply(250, "", "")) == "250"
