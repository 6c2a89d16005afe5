"""Is this mail what it claims to be: signatures and seals, checked and made, and return paths that are ours.

Nothing here waits, asks DNS or reads a clock: who uses it does, and hands over what it found. What each file does
stands at its top; nothing is re-exported here. docs/internals/mailauth.md tells how DKIM and ARC go together.
"""
