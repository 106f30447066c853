"""The command line: commands, live tables, and what is said where something is wrong."""
