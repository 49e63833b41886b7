"""The output of a notebook: short lines, tables and pictures."""
