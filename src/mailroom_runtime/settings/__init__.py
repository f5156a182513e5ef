"""Options, variables and secrets that both programs read.

setting_names    pure: the names of all settings, and what is none of them
secret_setting   a secret from the environment or from a file
options          types of option values, and the options that both programs have
"""
