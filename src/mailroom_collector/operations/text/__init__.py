"""Figures as text for people and as JSON for programs.

durations       pure: times as people write and read them
table           pure: text in columns that fit
sparkline       pure: numbers as a line of bars
status          pure: how the queue is
delivery_list   pure: what was not mailed
"""
