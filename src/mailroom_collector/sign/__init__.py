"""Makes signed lines from claimed tokens.

action      pure: the actions, which say what a token is for
token       pure: a claimed token
signature   pure: signs a token, and verifies the secret field of a link
line        pure: makes lines of bytes from signed tokens
chunk       pure: signs the tokens of one claim
"""
