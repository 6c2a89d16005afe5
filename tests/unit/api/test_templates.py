"""Templates: filled in as written, escaped in HTML, and never for long, however they and their variables are made."""

import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from postroad.api.problem import ApiError
from postroad.api.schema import Message
from postroad.api.templates import OUTPUT, Templates
from tests.support.apiclient import sound_problem


def message(template: str = "t", **variables: object) -> Message:
    return Message(template=template, variables={key: Raw(msgspec.json.encode(one)) for key, one in variables.items()})


def templates(text: str, **more: str) -> Templates:
    return Templates({"t.subject": "s", "t.text": text, **{name.replace("_", "."): one for name, one in more.items()}})


def test_all_three_are_filled_in_and_html_is_escaped() -> None:
    found = Templates({"w.subject": "Hi {{ n }}\n", "w.text": "{{ n|title }}", "w.html": "<b>{{ n }}</b>"})
    texts = found.fill(message("w", n="<anna & co>"))
    assert texts.subject == "Hi <anna & co>"
    assert texts.text == "<Anna & Co>"
    assert texts.html == "<b>&lt;anna &amp; co&gt;</b>"


def test_a_subject_of_the_request_wins_and_stays_one_line() -> None:
    found = Templates({"w.subject": "a\nb {{ n }}"})
    assert found.fill(message("w", n="x\r\nBcc: y")).subject == "a b x Bcc: y"
    mine = msgspec.structs.replace(message("w", n=1), subject="mine")
    assert found.fill(mine).subject == "mine"


def test_templates_build_on_others() -> None:
    found = templates(
        "{% extends 'base.text' %}{% block b %}{{ n }}{% endblock %}", base_text="<<{% block b %}{% endblock %}>>"
    )
    assert not found.flaws
    assert found.fill(message(n=5)).text == "<<5>>"


@pytest.mark.parametrize("text", ["{% for %}", "{{ a|nosuch }}", "{{", "{% include x"])
def test_flaws_are_told_with_their_line(text: str) -> None:
    assert templates("\n" + text).flaws[0].startswith("t.text:2: ")


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        "{{ [1] * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 10 ** 1000000000 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ ['a'] | join('b' * 3) }}",
        "{{ range(100000) | join(n) }}",
        "{{ n.replace('a', n) }}",
        "{{ n.center(1000000000) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ n.format(1) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:1000000000}'['format'](1) }}",
        "{{ ['{:1000000000}'] | map('format', 1) | first }}",
        "{{ 'a' | center(1000000000) }}",
        "{{ {}|tojson(1000000000) }}",
        "{{ n.__class__.__mro__ }}",
        "{{ [].append(1) }}",
        "{{ lipsum(1000) }}",
        "{{ cycler }}",
        "{{ missing }}",
        "{{ self._TemplateReference__context }}",
        "{% include 'nowhere' %}",
        "{% include '../../etc/passwd' %}",
        "{{ 1 // 0 }}",
    ],
)
def test_what_could_last_grow_or_look_around_is_refused(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(ApiError) as caught:
        templates(text).fill(message(n="a" * 50_000))
    assert caught.value.problem.status == 422
    assert time.monotonic() - began < 60  # without bounds these would take days, or all memory


def test_output_is_bounded() -> None:
    text = "{{ n }}" * (OUTPUT // 50_000 + 2)
    with pytest.raises(ApiError, match="becomes longer"):
        templates(text).fill(message(n="a" * 50_000))


def test_variables_are_bounded_and_the_template_has_to_be_there() -> None:
    with pytest.raises(ApiError, match="octets"):
        templates("x").fill(message(n="a" * 70_000))
    with pytest.raises(ApiError, match="no such template"):
        templates("x").fill(message("other"))
    with pytest.raises(ApiError, match="no such template"):
        Templates({"w.text": "x"}).fill(message("w"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(VALUES)
def test_any_variable_is_filled_in_or_a_problem(value: object) -> None:
    found = templates("{{ n }}{% for a in n %}{{ a|upper }}{{ n[a]|d('') }}{% endfor %}")
    try:
        found.fill(message(n=value))
    except ApiError as error:
        sound_problem(error)
