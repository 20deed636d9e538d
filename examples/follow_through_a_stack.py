"""
The ventricles of a brain
=========================

Follow an object through a stack from boxes on two slices, and list doubtful slices.
"""

import napari

import napari_sam as ns
from napari_sam import samples

volume, spacing = samples.head()  # (z, y, x), millimetres
prompts = {
    14: ns.Prompt(box=(32, 52, 70, 75)),
    18: ns.Prompt(box=(37, 53, 67, 74)),
}
result = ns.segment_volume(volume, prompts, spacing=spacing)
for entry in result.slices:
    print(f"slice {entry.index}: {entry.status}, score {entry.score:.2f}")

viewer = napari.Viewer()
viewer.add_image(volume, scale=spacing)
viewer.add_labels(result.labels, scale=spacing)
viewer.dims.set_current_step(0, 16)

if __name__ == "__main__":
    napari.run()
