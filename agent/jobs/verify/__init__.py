"""The verify command: whether everything that a backup needs is in its storage, and whole."""
