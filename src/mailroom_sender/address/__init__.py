"""Email addresses and links as SES takes them.

label_context   pure: characters that a domain has in some places only
host_name       pure: a domain in ASCII, or why it is none
email_address   pure: an email address as SES takes it, or why it is none
identity        pure: the identities of SES that may stand for an address
from_address    pure: a From as SES takes it, or why it is none
base_url        pure: the address that the links of the mails begin with
"""
