"""The embedded testbed: a real multi-node Docker cluster on one Linux machine."""
