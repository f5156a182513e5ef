"""The templates of the mails.

template        pure: one template, as it is compared and as SES takes it
files           templates as files
handlebars      pure: the part of SES's template language that is known
mime            pure: a mail's three parts to a MIME message, and back
sample          pure: the data that the sender would send for a made-up account
comparison      pure: templates here compared with those in SES
login_display   pure: how a template shows a login
push            brings templates to SES
preview         templates with sample data, to files
"""
