"""Embedded data, and the order in which examples come."""
