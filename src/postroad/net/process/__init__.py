"""What processes are to the kernel and to each other: begun, given sockets and rights, linked, and replaced.

Nothing in here knows what a process does.
"""
