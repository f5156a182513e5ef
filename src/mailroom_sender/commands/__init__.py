"""The commands that do not send the mails of stdin.

command_list        the place and the summary of each command
check               checks whether everything is ready to send
templates           the group of the commands below
templates_list      lists templates, and whether SES has them
templates_diff      shows what push would change
templates_push      uploads templates to SES
templates_preview   writes sample mails to files
templates_options   options that several of these commands have
aws                 makes the client that asks AWS
command_input       the values that the program passes to a command
stdout              prints lines in colour
"""
