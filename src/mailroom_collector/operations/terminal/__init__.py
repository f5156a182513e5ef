"""What a terminal shows while a command runs.

colours        what stdout can show
keyboard       single keys, while the live screen is shown
page           pure: the lines that a screen has room for
live_status    the live screen
progress_bar   the progress of a removal
"""
