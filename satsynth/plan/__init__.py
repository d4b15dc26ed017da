"""From a config to jobs: merging, names, runs and what each job depends on. Used by the rules; light to import."""
