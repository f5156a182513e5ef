"""What a terminal shows while a command runs.

style          what stdout can show: columns, colours, characters
keyboard       reads single keys while the live screen is shown
page           pure: chooses the lines that fit on the screen
live_screen    shows the state of the queue again and again
progress_bar   shows the progress of a removal
"""
