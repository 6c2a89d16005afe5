"""The rooms of the composition root: what one process is built of, and how a reload exchanges it.

Here settings become objects and objects meet as plain callables; `app.py` gives the whole its life.
"""
