"""How it goes, for the people who run it.

reporter       the log's summary, the service manager's status and the bar, each when it is time to
summary        pure: what was done, a line every few minutes
claim_log      logs tokens that are stale, wait for their action, or may have been mailed twice
backlog_bar    draws the progress bar of a backlog
progress_bar   pure: what the progress bar says
terminal       stderr, where the bar is drawn
"""
