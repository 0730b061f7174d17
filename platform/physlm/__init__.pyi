from physlm import laws as laws
from physlm import measures as measures
from physlm import models as models
from physlm import probes as probes
from physlm import steps as steps
from physlm import tasks as tasks
from physlm.catalog import Observation as Observation
from physlm.errors import PhyslmError as PhyslmError
from physlm.errors import UserError as UserError
from physlm.experiment import Experiment as Experiment
from physlm.experiment import load as load
from physlm.fitting import Fit as Fit
from physlm.fitting import fit as fit
from physlm.laws import Law as Law
from physlm.measures import Measure as Measure
from physlm.models import ModelConfig as ModelConfig
from physlm.probes import Probe as Probe
from physlm.registry import Registry as Registry
from physlm.runs import Run as Run
from physlm.steps import Step as Step
from physlm.steps import run as run
from physlm.store import Store as Store
from physlm.store import open_store as open_store
from physlm.tasks import Task as Task

__version__: str
