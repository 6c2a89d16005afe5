"""The defence against abuse as pure decisions: who is banned, and which logins left their habits.

Time is given; files and shared memory are elsewhere (`house/guard/guard`).
"""
