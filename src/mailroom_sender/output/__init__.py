"""Writes stdout and the sender's files.

stdout           writes whole lines to stdout
call_answer      pure: the answer to a call, as it is printed
mail_text        pure: a mail as debug mode prints it for a person
summary          pure: the counts of the last minutes, in one line
folder_check     checks whether an output folder is safe
folder           makes the output folder, or refuses it
new_file         creates files that did not exist before
growing_file     a file that grows
rejected_entry   pure: rejected rows as JSON objects
write_queue      keeps entries until the disk accepts them
unsent_rows      writes rows that could not be read or sent to files
responses        writes SES's responses to refused calls to files
"""
