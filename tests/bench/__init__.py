"""The bench: Postroad and a well-tuned Postfix, same machine, same run, same load (`make bench`).

smtp-source -> relay -> smtp-sink over loopback, both relays durable (fsync before 250), interleaved, medians of
several runs; and queue growth with the next hop down. `python -m tests.bench --help` tells the options.
Read it in this order: scenarios (what is run), load (source and sink), relays (what is measured), measure (how),
cell (one measurement), latency, growth, spread, loris (slow clients), report.
"""
