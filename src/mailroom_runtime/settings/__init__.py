"""Options, variables and secrets that both programs read.

setting_names    pure: the names of all settings, and variables with mistyped names
secret_setting   reads a secret from the environment or from a file
options          types of option values, and the options that both programs have
lazy_group       a group that imports a command only when it runs
program          the command of a program, with the settings that both have
command_line     runs a program's command; turns errors into a log line and an exit status
"""
