"""Segment everything in an OME-Zarr on a cluster of dask.

`python dask_cluster.py stack.ome.zarr` runs on this computer. For a cluster, replace
LocalCluster, for instance by `dask_jobqueue.SLURMCluster`; workers with a GPU are
started with `--resources GPU=1`.
"""

import sys

from distributed import Client, LocalCluster

import napari_sam as ns


def main(path: str) -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1) as cluster,
        Client(cluster) as client,
    ):
        job = ns.plan_everything_volume(path, output=path, name="sam")
        print(job.cost().text)
        for step in job.run(client):
            print(f"{step.what}: {step.done} of {step.total}")
    print(job.result())


if __name__ == "__main__":
    main(sys.argv[1])
