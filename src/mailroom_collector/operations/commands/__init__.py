"""The commands of an operator.

command_list   where each command is, and its summary
status         how the queue is
failed         what was not mailed
retry          puts back what was not mailed
pause          pause and resume
prune          removes old settled deliveries
metrics        serves figures to Prometheus
migrate        brings the schema to a version
verify         checks the secret field of a link
options        options and option types of several commands
target         which database and queue a command is about
confirmation   asks a person before a step that is hard to undo
"""
