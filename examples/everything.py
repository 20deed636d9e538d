"""
All nuclei
==========

Find all objects of an image without prompts, and keep the large ones.
"""

import napari

import napari_sam as ns
from napari_sam import samples

image = samples.nuclei(256)
thresholds = ns.Thresholds(min_size=50)
labels = ns.segment_everything(image, thresholds=thresholds)
print(labels.max(), "nuclei of more than 50 pixels")

viewer = napari.Viewer()
viewer.add_image(image, colormap="magma")
viewer.add_labels(labels)

if __name__ == "__main__":
    napari.run()
