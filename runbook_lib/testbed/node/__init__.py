"""One node of a testbed, from its disk to a boot that has finished."""
