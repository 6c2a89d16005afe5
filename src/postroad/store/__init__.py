"""What is kept beside mail: small facts that must outlive the process.

Accepted mail is not here: see `spool`.
"""
