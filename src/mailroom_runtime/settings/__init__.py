"""Options, variables and secrets that both programs read.

setting_names    pure: the names of all settings, and what is none of them
secret_setting   a secret from the environment or from a file
options          types of option values, and the options that both programs have
lazy_group       commands that are imported only when they run
program          the command of a program, with the settings that both have
command_line     runs a program's command: errors to one line and an exit status
"""
