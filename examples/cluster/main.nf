// nextflow run main.nf --image stack.ome.zarr --shards 20
params.image = null
params.shards = 20

process plan {
    input: path image
    output: val job
    script:
    job = "${file(params.image).toAbsolutePath()}.job"
    """
    napari-sam plan ${file(params.image).toAbsolutePath()} \
        --output ${file(params.image).toAbsolutePath()} --name sam --workdir $job
    """
}

process search {
    // Exit code 3: tasks failed three times; another try may go better elsewhere.
    errorStrategy { task.exitStatus == 3 ? 'retry' : 'terminate' }
    maxRetries 2
    input: tuple val(job), val(shard)
    output: val job
    script:
    "napari-sam work $job --shard $shard/${params.shards}"
}

process finish {
    input: val job
    script:
    """
    napari-sam work $job
    napari-sam job $job
    """
}

workflow {
    job = plan(channel.fromPath(params.image, type: 'dir'))
    shares = job.combine(channel.of(1..params.shards))
    finish(search(shares).collect().map { it[0] })
}
