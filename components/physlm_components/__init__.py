"""The steps as Kubeflow components: one file each, thin bodies that call `physlm.steps`.

Their bodies run in a container of the image that holds physlm (`Containerfile`), or as a process under kfp.local.
Compiled by `python -m physlm_pipelines.compile`; the specs lie in components/compiled.
"""
