"""The nouns: frozen values every layer above speaks in.

No I/O, no clock, no randomness; bytes become these values once, at the edge, and nothing
above parses strings again. Structs are msgspec's: quick to build and to encode.
"""
