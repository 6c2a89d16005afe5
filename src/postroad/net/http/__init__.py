"""Outgoing HTTP: posts over kept connections, and questions to several addresses.

The client library is imported late; all is bounded in time and size.
"""
