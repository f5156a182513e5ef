"""Figures as text for people and as JSON for programs.

durations       pure: durations and times as people write and read them
table           pure: text in columns that fit
sparkline       pure: numbers as a line of bars
status_line     pure: one line of text, its style, and its rank when there is no room for all
health          pure: whether mails are sent, in one line
action_table    pure: what waits, by action, as a table
status_text     pure: the state of the queue as text
status_json     pure: the state of the queue as JSON
delivery_list   pure: lists of deliveries that were not mailed
next_step       pure: what to do about a token, by a table of situations
history_text    pure: what became of tokens, as text
history_json    pure: what became of tokens, as JSON
"""
