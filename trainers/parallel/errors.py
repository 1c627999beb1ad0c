"""What can go wrong between the processes of a training."""

from __future__ import annotations

from trainers.errors import TrainersError


class ProcessLost(TrainersError):
    """A process of the training is gone or says nothing; the training can go on from its last checkpoint."""


class Disconnected(TrainersError):
    """Another process left in the middle of an exchange; why, that one knows."""
