"""The archive of executed notebooks: written once, listed, compared, followed over time and verified."""
