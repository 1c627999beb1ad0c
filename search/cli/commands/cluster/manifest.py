"""`foldtune cluster manifest`."""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldtune.search.cli.terminal import note

if TYPE_CHECKING:
    from foldtune.cluster.manifests.shape import Shape

IMAGE = "foldtune:latest"


class Kind(StrEnum):
    """What starts the cluster."""

    kuberay = "kuberay"
    ray_up = "ray-up"


Workers = Annotated[int, typer.Option(min=0, help="Workers to start with.")]
MaxWorkers = Annotated[int | None, typer.Option(min=1, help="To which an autoscaler may go; as many by default.")]
Gpus = Annotated[int, typer.Option(min=0, help="Of one worker.")]
Cpus = Annotated[int, typer.Option(min=1, help="Of one worker.")]
Memory = Annotated[int, typer.Option("--memory-gb", min=1, help="Of one worker.")]
Image = Annotated[str, typer.Option(help="A container with foldtune, the same for every node.")]
Claim = Annotated[
    str | None, typer.Option(help="kuberay: the PersistentVolumeClaim with data and runs, mounted at /shared.")
]
Job = Annotated[Path | None, typer.Option("--job", metavar="CONFIG", help="kuberay: a RayJob that searches this.")]
Heads = Annotated[str | None, typer.Option("--head", metavar="HOST", help="ray-up: the head, of machines of yours.")]
Hosts = Annotated[list[str] | None, typer.Option("--host", metavar="HOST", help="ray-up: a worker; one each time.")]
User = Annotated[str, typer.Option("--ssh-user", help="ray-up: of the machines.")]
Region = Annotated[str | None, typer.Option("--aws-region", help="ray-up: where Amazon EC2 starts the machines.")]
Instance = Annotated[str, typer.Option("--aws-instance", metavar="TYPE", help="ray-up: of a worker on EC2.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="F", help="The file; stdout by default.")]


def add_to(group: typer.Typer) -> None:
    """Register the command."""

    @group.command()
    def manifest(
        kind: Annotated[Kind, typer.Option(help="What starts the cluster.", show_default=False)],
        workers: Workers = 1,
        gpus: Gpus = 1,
        cpus: Cpus = 8,
        memory_gb: Memory = 32,
        max_workers: MaxWorkers = None,
        name: Annotated[str, typer.Option(help="Of the cluster.")] = "foldtune",
        image: Image = IMAGE,
        claim: Claim = None,
        job: Job = None,
        head: Heads = None,
        host: Hosts = None,
        ssh_user: User = "ubuntu",
        aws_region: Region = None,
        aws_instance: Instance = "g5.2xlarge",
        output: Output = None,
    ) -> None:
        """Write the YAML that starts a cluster, with token authentication and a place for data and runs.

        foldtune cluster manifest --kind kuberay --workers 4 --gpus 1 --claim data | kubectl apply -f -
        foldtune cluster manifest --kind kuberay --workers 4 --gpus 1 --claim data --job skin.yaml -o job.yaml
        foldtune cluster manifest --kind ray-up --gpus 2 --head gpu0 --host gpu1 --host gpu2 -o cluster.yaml
        foldtune cluster manifest --kind ray-up --workers 1 --max-workers 8 --aws-region us-west-2 -o cluster.yaml
        """
        from foldtune.cluster.manifests.shape import Shape

        shape = Shape(name, image, workers, max_workers or workers, cpus, gpus, memory_gb)
        documents = (
            _kuberay(shape, claim, job)
            if kind is Kind.kuberay
            else [_ray_up(shape, head, host or [], ssh_user, aws_region, aws_instance, job)]
        )
        _write(documents, output)


def _kuberay(shape: Shape, claim: str | None, job: Path | None) -> list[dict[str, Any]]:
    from foldtune.cluster.manifests.kuberay import ray_cluster, ray_job

    if claim is None:
        raise typer.BadParameter("name the PersistentVolumeClaim (ReadWriteMany) of the data", param_hint="--claim")
    if job is None:
        return ray_cluster(shape, claim)
    config, arguments, environment = _packed(shape, job)
    return ray_job(shape, claim, config=config, arguments=arguments, environment=environment)


def _packed(shape: Shape, job: Path) -> tuple[str, list[str], dict[str, str]]:
    """The configuration with relative paths under the shared folder, and the command that searches by it."""
    import yaml

    from foldtune.cluster.manifests.kuberay import CONFIG_DIR
    from foldtune.cluster.manifests.shape import SHARED
    from foldtune.search.config.loading import read_raw
    from foldtune.search.config.packaging import CONFIG, arguments, environment, pack_job

    raw = read_raw(job)
    storage = str(raw.get("storage") or "runs")
    if "://" not in storage:
        raw["storage"] = str(Path(SHARED, storage))
    packed = pack_job(raw, Path(SHARED))
    own = environment(None, f"foldtune-{shape.name}", "http://127.0.0.1:8265")
    text = yaml.safe_dump(dict(packed.config), sort_keys=False)
    return text, list(arguments(f"{CONFIG_DIR}/{CONFIG}", resume=False, more=None)), own


def _ray_up(
    shape: Shape, head: str | None, hosts: list[str], user: str, region: str | None, instance: str, job: Path | None
) -> dict[str, Any]:
    from foldtune.cluster.manifests.ray_up import Aws, Machines, on_aws, on_machines

    if job is not None:
        raise typer.BadParameter("`ray up` starts a cluster alone; then foldtune search --address", param_hint="--job")
    if (head is None) == (region is None):
        raise typer.BadParameter("name --head and --host of machines of yours, or --aws-region", param_hint="--kind")
    if region is not None:
        return on_aws(shape, Aws(region, instance, user=user))
    return on_machines(shape, Machines(str(head), hosts, user))


def _write(documents: list[dict[str, Any]], output: Path | None) -> None:
    import yaml

    text = yaml.safe_dump_all(documents, sort_keys=False, explicit_start=len(documents) > 1)
    if output is None:
        sys.stdout.write(text)
        return
    from foldtune.results.storage.files import write_bytes_atomic

    write_bytes_atomic(output, text.encode())
    kinds = ", ".join(re.findall(r"^kind: (\w+)$", text, re.MULTILINE)) or "a cluster of `ray up`"
    note(f"{kinds} in {output}")
