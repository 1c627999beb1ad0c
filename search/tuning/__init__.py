"""Ray Tune and Optuna: tuner, searcher, ASHA, study, recorder, monitor."""
