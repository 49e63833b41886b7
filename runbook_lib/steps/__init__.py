"""Everything that changes a node: check, plan, apply, verify."""
