"""What an execution leaves in the archive: its record, the kernel's journal, where it comes from."""
