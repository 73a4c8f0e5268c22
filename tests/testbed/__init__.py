"""Real servers as subprocesses on free loopback ports: mongod, S3, mongosh, agents.

Used by the integration and system tests, the demo and the bench. Every server is ended by its own
process id, at the latest when this process ends, however it ends. Nothing here knows the insides
of Backstay: agents are started as an operator starts them.
"""
