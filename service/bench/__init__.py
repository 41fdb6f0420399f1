"""`learnd bench`: it and its rivals on the same model, data and machine, in one run."""
