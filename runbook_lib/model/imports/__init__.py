"""Clusters that other tools describe, read from their files and written as a parameter file. No node is contacted."""
