"""`[[rules]]`, from their options to a compiled book: conditions, actions, and what is decided in a transaction.

Each rule is asked at the earliest stage at which all it asks for is known (decision 25).
"""
