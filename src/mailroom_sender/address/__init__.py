"""Email addresses and links in the form that SES accepts.

label_context   pure: characters that a domain may contain only in some places
host_name       pure: converts a domain to ASCII, or says what is wrong with it
email_address   pure: converts an email address to ASCII, or says what is wrong with it
identity        pure: the SES identities that cover an address
from_address    pure: encodes a From, or says what is wrong with it
base_url        pure: checks the URL that the links of the mails begin with
"""
