"""The soak: a relay under steady load for minutes while everything around it, and it itself, dies and comes back.

Clients and next hops are processes of their own that write down what they saw. Next hops and the relay are killed,
configurations exchanged (broken ones too), the disk filled once. In the end the notes are compared: what got its 250
has arrived, what came twice had its reply lost, nothing grew, nothing leaked, no log tells of a bug.
`python -m tests.soak --help` tells the options. Read it in this order: wire (what is sent and noted), client, sink
(both ends), site (the relay and its disk), chaos (what happens to it), watch (its log), gauges (its size), account
(what the notes come to), report, run, `__main__`.
"""
