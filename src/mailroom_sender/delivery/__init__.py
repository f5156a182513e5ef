"""Delivers one batch, from begin to settle.

protocol         what a delivery does, and its result
addresses        pure: separates rows whose address SES can accept from the others
batch_parts      pure: the parts of a batch that are not called yet
refusal_run      decides whether a row that SES refused alone is at fault
batch_progress   the progress of a batch: parts to call, undecided rows, the reason to wait
call_log         logs the outcome of a call's rows
ses_calls        makes one call, judges its answer and prints it
batch_delivery   delivers one batch, part by part
ses_delivery     delivers batches through SES
preview          prints batches in debug mode, and sends nothing
"""
