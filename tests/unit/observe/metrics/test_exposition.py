"""The text format, read back by the official parser."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from postroad.observe.metrics.exposition import render
from postroad.observe.metrics.series import Family, Series

WORDS = st.text(st.characters(codec="utf-8"), max_size=20)
COUNTER = Family("postroad_x_total", "counter", 'Sentence with \\ and "quotes"\nand a line.', ("a", "b"))
HISTOGRAM = Family("postroad_y_seconds", "histogram", "Y.", (), (0.5, 1.0, 10.0))


@given(WORDS, WORDS, st.floats(0, 1e15))
def test_labels_and_values_come_back(one: str, other: str, value: float) -> None:
    page = render((COUNTER,), [Series(COUNTER.name, (one, other), value)]).decode()
    family, *more = text_string_to_metric_families(page)
    assert not more
    assert (family.type, family.documentation) == ("counter", COUNTER.text)
    (sample,) = family.samples
    assert (sample.name, sample.labels, sample.value) == (COUNTER.name, {"a": one, "b": other}, value)


def test_a_histogram_is_cumulative() -> None:
    page = render((HISTOGRAM,), [Series(HISTOGRAM.name, (), 12.25, (1, 0, 2, 4))]).decode()
    (family,) = text_string_to_metric_families(page)
    found = {(sample.name.rpartition("_")[2], sample.labels.get("le")): sample.value for sample in family.samples}
    assert found == {
        ("bucket", "0.5"): 1,
        ("bucket", "1"): 1,
        ("bucket", "10"): 3,
        ("bucket", "+Inf"): 7,
        ("sum", None): 12.25,
        ("count", None): 7,
    }


def test_a_family_without_values_is_named() -> None:
    (family,) = text_string_to_metric_families(render((COUNTER,), []).decode())
    assert family.samples == []
