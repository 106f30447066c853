"""What a pruned model really weighs: positions and values in bytes really written, as .pxp files.

docs/format.md is the specification, readers/ holds readers that need none of this package.
"""
