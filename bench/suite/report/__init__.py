"""What is made of runs: medians and ratios, tables, plots, pages and the verdict."""
