"""The arithmetic of probes, with torch: models, layers and targets as leading dimensions of one program."""
