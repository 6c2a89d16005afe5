"""Where a recipient goes: the rules of `[[routes]]`, MX answers put in order, and the plan of a lane.

`rules` and `mx` are pure; `router` alone waits, for the look-up it is given.
"""
