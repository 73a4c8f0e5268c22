"""A seeded campaign of faults against real servers and agents, and the judgement of what is left.

`plan` says what happens when, `faults` does it, `history` and `judgement` look for broken promises,
and `run` puts them together.
"""
