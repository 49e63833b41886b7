"""What a notebook's output shows: short lines, tables and pictures."""
