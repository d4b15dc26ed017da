"""From a config to jobs: merging, names, runs and what each job depends on. Standard library only; used by the rules."""
