"""Reports for the people who run the collector.

reporter       the summary in the log, the status for the service manager, and the bar, each when it is due
summary        pure: the counts of the last minutes, in one line
claim_log      logs tokens that are stale, that wait for their action, or that may have been mailed twice
late_mails     logs when mails of a backlog will expire before their turn
outlook        pure: what waits, by action, and what of it will be late
backlog_bar    draws the progress bar of a backlog
progress_bar   pure: the text of the progress bar
terminal       draws a line on stderr
"""
