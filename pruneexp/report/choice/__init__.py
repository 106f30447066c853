"""Which model for a budget: the answer that everything else is measured for.

The line inside: candidates (points with the size of their file) -> beliefs (what validation says of
each, shrunken, with its chance) -> choice (the pick under given limits, what else was close, and
for which budgets the answer is another one).
"""
