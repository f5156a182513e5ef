"""A call to SES, and what its answer means for each row.

login        pure: a login as it goes into a mail
request      pure: a batch to the exact parameters of the API
holds        pure: why calls wait, for whom, and what ends it
redaction    pure: takes secrets out of answers
faults       pure: what SES's words name when it refuses
verdict      pure: an answer to a verdict for each row
form         the body of a request, encoded once
permission   pure: the permission to make a call, and until when
call         one call: its permission, its limits, its response
sdk_answer   what the SDK returns or raises, as an answer
client       calls SES: parameters to an answer
"""
