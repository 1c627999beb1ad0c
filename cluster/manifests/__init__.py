"""Manifests of a cluster: KubeRay, `ray up`."""
