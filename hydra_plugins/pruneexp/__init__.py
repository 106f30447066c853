"""Hydra finds plugins in this namespace; the sweeper is beside this file."""
