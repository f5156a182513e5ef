"""What both programs need and neither owns: leaves that know nothing of tokens, the ledger or SES.

errors          what a person reads: message, hint and exit status
log             one event a line on stderr, as text or as JSON
words           pure: counts, times and the words of others, as people read them
repeats         pure: of many events of one kind, which are told and which counted
repeated_log    logs such events
backoff         pure: how long to wait before the next try
setting_names   pure: the names of all settings, and what is none of them
secret_setting  a secret from the environment or from a file
postgres        the database: its URL, connections with a deadline, what a failure means
options         types of option values, and the options that both programs have
wakeup          signals and finished work as a readable descriptor
watchdog        ends the process when its main loop hangs
systemd         tells a service manager how the program fares (sd_notify)
"""
