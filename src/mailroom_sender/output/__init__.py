"""What the sender prints, and the files that it keeps.

stdout          one JSON object a line for each call, or mails for a person
mail_text       pure: a mail as debug mode shows it
summary         pure: what was sent, a line every few minutes
folder_check    what is wrong with an output folder
responses       SES's responses to refused calls, as files
rejected_rows   rows that could not be read or sent, as files
"""
