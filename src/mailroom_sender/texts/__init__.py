"""The templates of the mails.

template        pure: one template, and its form in the SES API
files           reads templates from files
handlebars      pure: renders the part of SES's template language that mailroom knows
mime            pure: makes a MIME message of a mail's three parts, and parses one
sample          pure: the data that the sender would send for a made-up account
comparison      pure: compares local templates with those in SES
login_display   pure: checks how a template shows a login
push            uploads templates to SES
preview         writes mails with sample data to files
"""
