"""Running a pruned network on a CPU: sparse kernels where they are faster, dense ones elsewhere."""
