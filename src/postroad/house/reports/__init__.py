"""Reports to and from other organisations: counted, sent once a day, and taken in.

Every process that takes mail counts; daily reports are sent by the one that has the queue, and failure reports by each.
"""
