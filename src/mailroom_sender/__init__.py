"""From a line on stdin to a call to SES, and to the record of its outcome.

The files and folders, in the order in which a row meets them:

    cli               reads options and environment, and starts the sender or a command
    option_types      types of option values
    assembly          builds a sender from its settings
    sender            the main loop: one poll, a few workers, bounded buffers between them
    row_reader        reads rows from stdin, and lets them wait for a call
    input             makes rows from the bytes of stdin
    call_dispatcher   passes waiting rows to workers, and their results to the schedule
    schedule          decides which rows are sent next, and when
    ledger            begins rows, and settles them
    delivery          delivers one batch, from begin to settle
    address           email addresses and links in the form that SES accepts
    ses               calls SES, and decides from its answer what happens to each row
    output            writes stdout and the sender's files
    sender_status     reports the sender's state to its watchdog and to systemd
    settings          the checked settings of the sender
    errors            pure: the sender's own errors
    log               the sender's log
    aws               the AWS SDK
    texts             the templates of the mails
    check             the check before mailroom goes live
    commands          the commands that do not send the mails of stdin

mailroom_runtime has the code that both programs share.
"""
