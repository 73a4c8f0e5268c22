"""One page that says how a replica set's backups stand, for people who have no terminal.

A pure view model (``page``, ``charts``, ``days``, ``scale``) and a template that only prints it;
what comes from the database is escaped there. The page needs no network and no script.
"""
