"""The process as the operating system and its service manager see it.

wakeup     signals and finished work as one readable descriptor
systemd    tells a service manager how the program does (sd_notify)
watchdog   ends the process when its main loop hangs
"""
