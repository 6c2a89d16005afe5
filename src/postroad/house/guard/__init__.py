"""Who is banned and which accounts are held: decided in one process, seen by all, ordered by operators.

The decisions themselves are pure (`policy/shield`); here they get their clock, files and shared memory.
"""
