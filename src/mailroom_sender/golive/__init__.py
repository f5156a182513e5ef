"""What a person does with AWS before mailroom goes live, and when the mails' texts change.

The files:

    commands    click: check, templates list, diff, push, preview
    aws         the client that asks AWS: paced, with patience; an answer or why there is none
    refusals    pure: why a call to AWS came to nothing
    sample      pure: the data that the sender would send for a made-up account
    findings    pure: what a check found, and how it is told
    judging     pure: answers of AWS to findings
    checking    the join of the check: asks, and hands the answers to judging
    role        asks the database what the sender's role may do
    folder      is the output folder writable
    template    pure: one template, as it is compared and as SES takes it
    library     templates as files
    handlebars  pure: the part of SES's template language that is certain
    mime        pure: a mail's three parts to a MIME message, and back
    comparing   pure: templates here beside those in SES
    shown_login pure: how a template shows a login
    pushing     brings templates to SES
    previewing  templates with sample data, to files
"""
