"""Which rows are sent next, and when.

waiting_rows   pure: waiting rows to batches of one action
pace           pure: how many recipients may go when
quota          asks SES for its rate, and hands it to the pace
gates          pure: when to try again, and who waits meanwhile
"""
