"""Calls SES, and decides from its answer what happens to each row.

login        pure: makes a login safe for a mail
request      pure: makes the exact parameters of the API from a batch
holds        pure: the reasons why calls wait, and what ends each of them
redaction    pure: removes secrets from answers
faults       pure: finds what SES's words name when it refuses a call
verdict      pure: makes a verdict for each row from an answer
form         encodes the body of a request once
permission   pure: the permission to make a call, and until when
call         one call: its permission, its limits, its response
sdk_answer   makes an answer from what the SDK returns or raises
client       makes calls, and returns their answers
"""
