"""One batch, from begin to settle.

protocol         what a delivery does, and what that comes to
addresses        pure: rows that SES can take, and rows that it never will
batch_parts      pure: the parts of a batch that are still to be called
refusal_run      whether a row that SES refused alone is at fault
batch_progress   what of a batch is still to be called, and what waits
call_log         the log of what became of a call's rows
ses_calls        one call: made, judged, and its answer printed
batch_delivery   one batch, part by part
ses_delivery     a delivery through SES
preview          a delivery that only prints, in debug mode
"""
