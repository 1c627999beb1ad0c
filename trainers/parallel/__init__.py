"""One training in several processes of one machine, each with a GPU of its own or with a part of the CPUs."""
