"""foldtune beside AutoGluon-MultiModal and a plain Ray Tune script: the same data, network, size and time."""
