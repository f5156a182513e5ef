"""How it goes, for the people who run it.

summary        pure: what was done, a line every few minutes
progress_bar   pure: the progress bar of a backlog
terminal       stderr, where the bar is drawn
"""
