"""From a line on stdin to a call to SES and its recorded outcome.

The files, in the order in which a row meets them:

    cli         options and environment to settings; errors to exit statuses
    sender      the join: one poll, a few workers, bounded buffers
    inlet       stdin to complete lines
    source      pure: the From as SES takes it, or why not
    wire        pure: a line to rows and bad rows
    actions     pure: what a mail may be for
    rows        what is read: one row, with its own bytes
    learning    asks the database for its actions; keeps the rows of unknown ones meanwhile
    addresses   pure: an email address as SES takes it, or why not
    host_names  pure: its domain in ASCII, or why not
    label_context   pure: characters that a domain has in some places only
    batches     pure: waiting rows to batches of one action
    delivery    one batch: begin, call, verdicts, settle, report
    progress    how far a batch is, and whose fault its refusals are
    splitting   pure: the parts of a batch that are still to be called
    refusal_run the rule: a row's fault, or nobody's row
    ledger      begin and settle in the database; or alone, without one
    database    the sender's connection, shared by the workers
    request     pure: a batch to the exact API parameters
    login       pure: a login as it goes into a mail, for HTML and for text
    mail_text   pure: a mail as debug mode shows it to a person
    ses         calls to SES: parameters to an answer
    aws_client  the AWS SDK's session and client; what says that its credentials fail
    http_connection  one deadline for a call, a size for its answer, none over a connection that was idle for long
    redact      pure: takes secrets out of answers
    verdicts    pure: an answer to a verdict for each row, tables as data
    faults      pure: of whom SES's words speak
    identities  pure: an address to the identities that may stand for it
    holds       pure: why calls wait, for whom, and what ends it
    pacing      pure: how many recipients may go when
    quota       asks SES for its rate, and hands it to the pace
    retries     pure: again when; who waits meanwhile
    setaside    what could not be read or sent, and SES's errors, to files
    responses   SES's responses to refused calls: each refusal once in a while, the newest of all
    output_folder  what is wrong with the folder for all of these
    call_log    what became of a call's rows, in the log
    report      stdout

Beside the way:

    summary     pure: what was sent, a line every few minutes

And settings, links, errors, log. Leaves that both programs use are in mailroom_runtime.
In golive: what a person does before it all goes live.
"""
