"""`[[rates]]`, from their options to accounts in memory: whom a rate is for, and whose account is charged.

All limits of a question are checked and taken in one step.
"""
