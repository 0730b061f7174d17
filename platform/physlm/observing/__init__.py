"""From trained models in the store to observations: measures taken and probes trained, a cohort at a time.

`jobs` deals the work out (torch-free), `models` loads a cohort, `measuring` and `probing` do a job, and the process
`python -m physlm.observing` does those of one shard, on one rank or several.
"""
