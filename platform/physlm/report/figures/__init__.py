"""The page's figures, one file for each kind."""

from physlm.report.figures.drawing import Drawing

__all__ = ["Drawing"]
