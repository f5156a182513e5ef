"""Decides when to claim, and notices new tokens.

claim_timer     pure: when to claim, and until when to wait
listen_check    pure: a test whether notifications arrive: the collector notifies itself
fast_polling    pure: when this collector polls every few ms, so that inserts skip NOTIFY
pause           pure: whether an operator has paused the queue
notifications   receives notifications, polls fast, and runs the test
ledger_polls    decides when to read the queue's state and to count the due rows
"""
