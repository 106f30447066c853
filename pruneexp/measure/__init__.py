"""How big and how much work a model is: planned, counted, packed."""
