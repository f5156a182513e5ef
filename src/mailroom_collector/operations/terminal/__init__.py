"""What a terminal shows while a command runs.

style          what stdout can show: columns, colours, characters
keyboard       single keys, while the live screen is shown
page           pure: the lines that a screen has room for
live_screen    how the queue is, again and again
progress_bar   the progress of a removal
"""
