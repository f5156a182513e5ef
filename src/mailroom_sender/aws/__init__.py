"""The AWS SDK.

http_connection   limits the time of a call, the size of its answer, and the age of an idle connection
session           makes the SDK's session and clients; has the error codes of bad credentials
no_answer         pure: the reasons why a call to AWS has no useful answer
questions         asks AWS slowly, and again when AWS throttles
"""
