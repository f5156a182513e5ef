"""What the sender prints, and the files that it keeps.

stdout           whole lines on stdout
call_answer      pure: the answer to a call, as it is printed
mail_text        pure: a mail as debug mode prints it for a person
summary          pure: what was sent, a line every few minutes
folder_check     whether an output folder is safe
folder           the output folder, made or refused
new_file         files that did not exist before
growing_file     a file that grows
rejected_entry   pure: what was rejected, as JSON objects
write_queue      entries that wait until the disk takes them
unsent_rows      rows that could not be read or sent, as files
responses        SES's responses to refused calls, as files
"""
