"""Pieces that mixers and MLPs are made of: linear maps, norms, positions, convolutions, caches, draws."""
