"""What a testbed has of the machine: its layout, processes and cgroups, the switch and DHCP."""
