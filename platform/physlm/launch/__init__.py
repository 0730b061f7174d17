"""How shards of runs are made and executed: planning, and processes on this machine."""
