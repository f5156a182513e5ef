"""The check before mailroom goes live.

finding         pure: what a check found, as lines and as JSON
judgement       pure: answers of AWS to findings
database_role   asks the database what the sender's role may do
output_folder   whether the output folder is writable
checks          asks AWS, the database and the disk, and hands the answers to the judgement
"""
