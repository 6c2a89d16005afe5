"""From a Postfix to a configuration of ours: its files read, and what they mean written as TOML.

What has no counterpart is listed, never dropped in silence.
"""
