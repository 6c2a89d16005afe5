"""Metrics: a sink that counts records, what is measured beside them, and the text that Prometheus reads.

Nothing here decides or waits. What one process counted is a list of `Series`, and those of several add up.
"""
