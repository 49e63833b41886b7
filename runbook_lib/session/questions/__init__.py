"""The readings and actions behind a session's methods."""
