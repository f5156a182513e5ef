"""The AWS SDK.

http_connection   one deadline for a call, a size for its answer, an age for an idle connection
session           the SDK's session and clients; what says that its credentials fail
no_answer         pure: why a question to AWS came to nothing
questions         asks AWS: paced, with patience
"""
