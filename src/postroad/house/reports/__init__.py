"""Reports to and from other organisations: counted, sent once a day, and taken in.

They are the affair of the one process that has the queue.
"""
