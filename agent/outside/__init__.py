"""What leaves for receivers and programs that are not Backstay's: a webhook, hooks.

Knows HTTP and processes; must not know MongoDB, storages, jobs, nor when anything is sent or
run. A fault of the other side is an error with a code or an end that is told, never a crash.
"""
