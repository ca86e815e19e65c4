"""Single runs: machine and place, programs that are started and ended, workloads, and rounds of them."""
