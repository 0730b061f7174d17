"""The image that components run in."""

import os

import physlm

IMAGE = os.environ.get("PHYSLM_IMAGE", f"physlm:{physlm.__version__}")
"""Read from PHYSLM_IMAGE when components are imported, hence compiled; made from components/Containerfile."""
