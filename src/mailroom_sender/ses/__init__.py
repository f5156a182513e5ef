"""A call to SES, and what its answer means for each row.

login       pure: a login as it goes into a mail
request     pure: a batch to the exact parameters of the API
client      calls SES: parameters to an answer
holds      pure: why calls wait, for whom, and what ends it
faults     pure: of whom SES's words speak
verdict     pure: an answer to a verdict for each row
redaction   pure: takes secrets out of answers
"""
