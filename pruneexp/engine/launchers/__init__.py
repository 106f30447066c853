"""Who starts the workers of a plan."""
