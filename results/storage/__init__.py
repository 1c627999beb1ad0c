"""Files and folders, on a disk or in an object store: whole writes, leases, retries."""
