"""Administration of a running server: what operators ask of it, and how they reach it.

Nothing here decides about mail: orders go to the queue, and what they did comes back as records.
"""
