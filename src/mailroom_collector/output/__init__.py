"""From a line to its reader.

token_places   pure: where each claimed token is, and how it may move
stdout         whole lines go out; which of them the reader took; whether it is gone
room           pure: whether there is room for another claim
leases         tells the ledger what became of the claimed tokens
"""
