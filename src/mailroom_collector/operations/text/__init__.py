"""Figures as text for people and as JSON for programs.

durations       pure: durations and times as people write and read them
table           pure: text in columns that fit
sparkline       pure: numbers as a line of bars
status_line     pure: one line of text, its style, and its rank when there is no room for all
health          pure: whether mails are sent, in one line
status_text     pure: the state of the queue as text
status_json     pure: the state of the queue as JSON
delivery_list   pure: lists of deliveries that were not mailed
"""
