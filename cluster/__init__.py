"""Ray: sessions, resources, jobs, token authentication, checks of a cluster, and manifests that start one."""
