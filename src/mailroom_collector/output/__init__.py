"""Writes lines to their reader.

token_places      pure: the place of each claimed token, its age, and its allowed moves
stdout            writes whole lines to stdout, and finds out which lines the reader has read
rate_meter        pure: how many rows leave a second
outstanding_rows  pure: how many rows may be outstanding, and when to check how many have left
sender_progress   pure: how the senders begin the rows that were printed
leases            extends the leases of the claimed tokens, and records their outcome in the ledger
"""
