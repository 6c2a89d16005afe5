"""The whole page of a process that has just begun, the lag of its loop, and what its hooks count."""

from prometheus_client.parser import text_string_to_metric_families

from postroad.model.dns import DnsStatus
from postroad.observe.metrics.meter import LAG_EVERY, Meter, families
from postroad.observe.metrics.readings import Sources
from tests.support.clock import ManualClock


def make(clock: ManualClock, unready: str = "") -> Meter:
    return Meter(Sources(lambda: 3, lambda: 4, lambda: 5, lambda: unready), clock)


async def samples(meter: Meter) -> dict[tuple[str, str], float]:
    page = (await meter.page()).decode()
    found = list(text_string_to_metric_families(page))
    assert {family.name for family in found} == {family.name.removesuffix("_total") for family in families()}
    return {(one.name, "/".join(one.labels.values())): one.value for family in found for one in family.samples}


async def test_the_page_is_whole_from_the_start() -> None:
    found = await samples(make(ManualClock()))
    assert found["postroad_ready", ""] == 1
    assert found["postroad_sessions", ""] == 3
    assert found["postroad_pool_idle_connections", ""] == 4
    assert found["postroad_log_records_left_out_total", ""] == 5
    assert found["postroad_message_removed_total", ""] == 0
    assert (await samples(make(ManualClock(), "full")))["postroad_ready", ""] == 0


async def test_hooks_count() -> None:
    meter = make(ManualClock())
    meter.committed(0.002, 7)
    meter.looked_up("MX", DnsStatus.NO_NAME, 0.3)
    meter.looked_up("MX", DnsStatus.NO_NAME, 0.1)
    found = await samples(meter)
    assert found["postroad_spool_sync_seconds_bucket", "0.0025"] == 1
    assert found["postroad_spool_sync_seconds_bucket", "0.001"] == 0
    assert found["postroad_spool_batch_entries_sum", ""] == 7
    assert found["postroad_dns_lookups_total", "MX/no_name"] == 2
    assert found["postroad_dns_lookup_seconds_bucket", "0.25"] == 1


async def test_the_lag_is_how_late_a_timer_comes() -> None:
    class LateClock(ManualClock):
        late = 0.0

        def monotonic(self) -> float:
            return super().monotonic() + self.late

    clock = LateClock()
    meter = make(clock)
    meter.start()
    clock.advance(LAG_EVERY)
    clock.late = 0.2
    clock.advance(LAG_EVERY)
    found = await samples(meter)
    assert found["postroad_event_loop_lag_seconds_count", ""] == 2
    assert found["postroad_event_loop_lag_seconds_bucket", "0.0001"] == 1
    assert round(found["postroad_event_loop_lag_seconds_sum", ""], 6) == 0.2
    await meter.close()
    assert clock.next_due() is None
