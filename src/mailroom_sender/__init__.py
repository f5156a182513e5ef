"""From a line on stdin to a call to SES and its recorded outcome.

The files and folders, in the order in which a row meets them:

    cli               options and environment to settings; errors to exit statuses
    option_types      the values that options may have
    assembly          settings to the parts of a sender, put together
    sender            the loop: one poll, a few workers, bounded buffers between them
    row_reader        from stdin to rows that wait for a call
    input             from bytes on stdin to rows
    call_dispatcher   from waiting rows to workers, and from their results back
    schedule          which rows are sent next, and when
    ledger            begin and settle
    delivery          one batch, from begin to settle
    address           email addresses and links as SES takes them
    ses               a call to SES, and what its answer means for each row
    output            stdout, and the files that the sender keeps
    sender_status     how the sender is doing, for its watchdog and systemd
    settings          the sender's settings, checked
    errors            pure: errors of the sender's own
    log               the sender's log
    aws               the AWS SDK
    texts             the templates of the mails
    check             the check before mailroom goes live
    commands          the commands beside sending

Leaves that both programs use are in mailroom_runtime.
"""
