"""From trained models in the store to observations: measures taken and probes trained, a cohort at a time.

`jobs` says what there is to do and deals it out (torch-free), `models` loads a cohort, `taking` does a job, and the
process `python -m physlm.evaluation` does those of one shard, on one rank or several.
"""
