"""The rooms of the composition root: what a process is built of, how it lives, and how a reload exchanges it.

Here settings become objects and objects meet as plain callables; `app.py` says which processes there are. Without edges
there is one (`life`); else a `supervisor`, a courier (`courierlife`) and edges (`edge`), which see each other on a
`board`.
"""
