"""One batch, from begin to settle.

batch_parts      pure: the parts of a batch that are still to be called
refusal_run      pure: whether a row that SES refused alone is at fault
batch_progress   what of a batch is still to be called, and what waits
call_log         what became of a call's rows, in the log
ses_delivery     begin, call, verdicts, settle, report; or in debug mode, print
"""
