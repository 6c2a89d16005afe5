"""When accepted mail is tried, and what happens after: schedule, lanes, throttles, settlement, reports.

All decisions are pure functions over values and a given `now`; dispatcher.py awaits, and operator.py beside it.
"""
