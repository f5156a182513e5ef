"""Writes stdout and the sender's files.

stdout           writes whole lines to stdout
call_answer      pure: makes the JSON object that is printed for a call
mail_text        pure: the text of a mail that debug mode prints for a person
summary          pure: counts what was sent in the last minutes, for one line of the log
folder_check     checks whether an output folder is safe
folder           creates the output folder, or refuses it
new_file         creates files that did not exist before
growing_file     a file that grows
rejected_entry   pure: makes JSON objects of rejected rows
write_queue      keeps entries until the disk accepts them
unsent_rows      writes rows that could not be read or sent to files
responses        writes SES's responses to refused calls to files
"""
