"""From a line to its reader.

stdout   whole lines go out; which the reader took; whether it is gone
leases   the claimed tokens, until a sender begins them, the reader takes them or they are released
"""
