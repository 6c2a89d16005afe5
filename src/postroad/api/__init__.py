"""The HTTP API: programs hand in mail by POST and ask what became of it.

Mail goes through the policies and the intake of SMTP; what is special here is the form it comes in, who may bring it,
and that a request can be repeated without harm. The layer this package stands in is in docs/internals/layers.md.
"""
