"""The image that components run in."""

import physlm
from physlm import environment

IMAGE = environment.text(environment.IMAGE) or f"physlm:{physlm.__version__}"
"""Read from PHYSLM_IMAGE when components are imported, hence compiled; made from components/Containerfile."""
