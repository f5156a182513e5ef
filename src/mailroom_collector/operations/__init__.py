"""What an operator does: sees how the queue is and who was not mailed, sends again, clears away.

The files, from the command to the ledger and back to what is shown:

    commands    the commands and their options
    pause_commands  pause and resume
    target      which database and queue a command is about
    session     a connection that asks, and answers of one snapshot
    overview    reads how the queue is
    echoing     do notifications arrive through this URL
    failures    reads what was not mailed, and puts it back
    unmatched   finds out why a choice matched nothing
    pruning     removes what is old, batch by batch
    progress    a progress bar for that
    counting    counts each settlement once
    scrapers    pure: which counters each scraper was shown, so that each begins at 0
    exporter    serves the metrics
    figures     pure: what the ledger told, and what it comes to
    report      pure: how the queue is, as text and as JSON
    listing     pure: what was not mailed, as text and as JSON
    durations   pure: times as people write and read them
    tables      pure: text in columns that fit
    fitting     pure: the lines that a screen has room for
    sparkline   pure: numbers as a line of bars
    screen      what stdout can show
    keyboard    single keys, while the live screen is shown
    watching    the live screen
"""
