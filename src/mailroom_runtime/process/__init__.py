"""The process: its signals, its service manager, and its watchdog.

wakeup     makes a descriptor readable when a signal comes or work has finished
systemd    sends the state of the program to a service manager (sd_notify)
watchdog   ends the process when its main loop hangs
"""
