"""Writes lines to their reader.

token_places   pure: the place of each claimed token, and its allowed moves
stdout         writes whole lines to stdout, and finds out which lines the reader has read
room           pure: whether there is room for another claim
leases         extends the leases of the claimed tokens, and records their outcome in the ledger
"""
