"""When to claim, and how a collector notices new tokens.

claim_timer     pure: when to claim, and until when to wait
listen_check    pure: whether notifications arrive, by notifying oneself
fast_polling    pure: when this collector polls every few ms, so that inserts skip NOTIFY
pause           pure: whether an operator has paused the queue
notifications   the notifications of one connection after the other, by the three above
ledger_polls    when the ledger is asked for the queue's state and for the rows that are due
"""
