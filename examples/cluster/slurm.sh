#!/bin/bash
# Segment everything in an OME-Zarr by a job array:
#
#   sbatch slurm.sh stack.ome.zarr
#
# Each element of the array searches its share of the planes. The one that finishes the
# search last links and numbers the objects; a second array paints them.
#SBATCH --job-name=napari-sam
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=04:00:00
set -eu
image=$1
job=${image%.zarr}.job

if [ -z "${SLURM_ARRAY_TASK_ID:-}" ]; then
    napari-sam plan "$image" --output "$image" --name sam --workdir "$job"
    search=$(sbatch --parsable --array=1-20 "$0" "$image" search)
    sbatch --array=1-4 --dependency="afterok:$search" "$0" "$image" paint
elif [ "$2" = search ]; then
    napari-sam work "$job" --stage search \
        --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
else
    napari-sam work "$job"
fi
