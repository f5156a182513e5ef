"""Figures as text for people and as JSON for programs.

durations       pure: times as people write and read them
table           pure: text in columns that fit
sparkline       pure: numbers as a line of bars
status_line     pure: one line of text, how it looks, whether it may be left out
health          pure: does mail flow, in one line
status_text     pure: how the queue is, as text
status_json     pure: how the queue is, as JSON
delivery_list   pure: what was not mailed
"""
