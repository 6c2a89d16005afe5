"""Confined processes for work that would hold up the event loop, and the pool that hands it to them.

A job and its end travel as frames over a socket; whatever a worker does, the pool gives an answer in time.
"""
