"""What the kernel says that this process takes, against what the test did."""

import os
from pathlib import Path

from postroad.net.process.usage import usage_now


def test_open_files_are_counted() -> None:
    before = usage_now()
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(5)]
    try:
        assert usage_now().files == before.files + 5
    finally:
        for descriptor in opened:
            os.close(descriptor)
    assert before.files < before.most_files


def test_memory_is_that_of_the_kernel() -> None:
    lines = Path("/proc/self/status").read_text().splitlines()
    resident = int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) << 10
    assert resident * 0.5 < usage_now().memory < resident * 2


def test_processor_time_only_grows() -> None:
    before = usage_now().seconds
    sum(range(2_000_000))
    assert usage_now().seconds >= before > 0
