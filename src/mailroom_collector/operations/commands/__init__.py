"""The commands of an operator.

command_list   the place and the summary of each command
show           shows what became of a person's mails, of a token, or of a mail
status         shows the state of the queue
failed         lists what was not mailed
retry          puts back what was not mailed
pause          pauses and resumes the queue
prune          removes old settled deliveries
metrics        serves figures to Prometheus
migrate        brings the schema to a version
verify         checks the secret field of a link
options        options and option types that several commands have
target         the database and queue of a command
confirmation   asks a person before a step that is hard to undo
"""
