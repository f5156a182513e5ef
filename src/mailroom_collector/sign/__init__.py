"""From a claimed token to a signed line.

action      pure: what a token may be for
token       pure: what is claimed
signature   pure: token and key to the secret field, and back
line        pure: signed tokens to lines of bytes
chunk       pure: the tokens of one claim to signed rows
"""
