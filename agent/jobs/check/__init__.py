"""The check command: what each agent tests, and how the answers come together."""
