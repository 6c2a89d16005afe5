"""The command line: one command a file, what they share in `options`, `exits` and `layout`.

Every failure a user can cause is one clear line on standard error and an exit code of sysexits.h.
"""
