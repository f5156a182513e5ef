"""The commands of an operator.

all            status, failed, retry, prune and metrics
pause          pause and resume
migrate        migrate
verify         verify
target         which database and queue a command is about
confirmation   asks a person before what is not easily undone
"""
