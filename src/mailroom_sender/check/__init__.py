"""The check before mailroom goes live.

finding         pure: what a check found, as lines and as JSON
judgement       pure: makes findings from answers of AWS
database_role   reads from the database what the sender's role may do
lone_mails      asks the database whether a lone recovery waits for other mails
output_folder   checks whether the output folder is writable
checks          asks AWS, the database and the disk, and makes findings from the answers
"""
