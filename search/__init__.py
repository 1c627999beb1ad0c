"""The composition root: configuration, tuner, K-fold finalists, ensembling and the command line."""
