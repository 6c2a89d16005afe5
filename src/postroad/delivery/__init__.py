"""Delivery: takes the recipients of one message to a next hop and says what became of each.

The dialog itself is in `smtp.client`, the meaning of replies in `classify`, the order of targets in
`deliver`. Nothing here raises for what a peer does: that becomes an Outcome. RFC 5321 4.5.4, 5.1.
"""
