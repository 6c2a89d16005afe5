"""Sinks of records: what tells people and programs what happened.

Records only inform: nothing here can change, delay or refuse mail. A sink that cannot keep up leaves
records out and says how many.
"""
