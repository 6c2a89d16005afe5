"""`postroad explain`, a file for each part of the answer.

Nothing is sent and nothing changes: each part asks the same code that serves mail.
"""
