"""Rules across options, a file for each part of the configuration, and what it asks of this host.

Each gives problems with their places; none raises, so that all mistakes are told at once.
"""
