"""What is kept or looked up beside mail: tables in files and databases, small facts that outlive the process.

Accepted mail is not here: see `spool`. What each file does stands at its top; nothing is re-exported here.
The layer this package stands in is in docs/internals/layers.md.
"""
