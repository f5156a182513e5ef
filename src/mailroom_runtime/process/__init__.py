"""The process as the operating system and its service manager see it.

wakeup     signals and finished work as one readable descriptor
systemd    sends the state of the program to a service manager (sd_notify)
watchdog   ends the process when its main loop hangs
"""
