"""The programs that stand in for Postfix's: sendmail, mailq, postqueue, postsuper, and the import.

Options, output and exit codes are those that scripts know from Postfix.
"""
