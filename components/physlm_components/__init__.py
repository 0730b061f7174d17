"""The steps as Kubeflow components, made of the registry `physlm.steps.registry`: a new step is a component by itself.

Their bodies (`running`) run in a container of the image that holds physlm (`Containerfile`), or as a process under
kfp.local. Compiled by `python -m physlm_pipelines.compile`; the specs lie in components/compiled.
"""
