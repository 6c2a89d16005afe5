"""`python -m postroad`: the same as the `postroad` command.

Exists so that the program can be started where the console script is not on the PATH.
"""

from postroad.cli.main import main

main()
