"""Records and what lies beside them as typed rows."""
