"""Whatever is killed, paused or taken away, topics and snapshots must tell the same story afterwards.

``python -m tests.chaos --help``; a small part runs with the other tests.
"""
