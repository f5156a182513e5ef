"""The commands beside sending.

command_list        where each command is, and its summary
check               is everything ready to send
templates           the group of the commands below
templates_list      which templates SES has
templates_diff      what push would change
templates_push      brings templates to SES
templates_preview   writes what the mails look like
templates_options   options of several of these
aws                 the client that asks AWS
command_input       what the program hands to a command
stdout              lines in colour
"""
