"""Executing runs: folders, records, plans, workers, devices."""
