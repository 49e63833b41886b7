"""One node of  testbed, from its disk to its finished boot."""
