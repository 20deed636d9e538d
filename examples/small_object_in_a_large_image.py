"""
A small nucleus in a large image
================================

Click on one nucleus in a plane of 2,048 pixels. The model looks at the part of the
image that fits the nucleus.
"""

import napari
import numpy as np
from skimage.feature import peak_local_max
from skimage.filters import gaussian

import napari_sam as ns
from napari_sam import samples

image = samples.nuclei(2048)
near = np.s_[900:1200, 900:1200]
brightest = peak_local_max(gaussian(image[near], 4), num_peaks=1)[0]
click = tuple(brightest + 900)

predictor = ns.load_model("lite_medsam")
labels = ns.segment(image, points=[click], model=predictor)
print("clicked on", [int(n) for n in click], "->", int((labels > 0).sum()), "pixels")

viewer = napari.Viewer()
viewer.add_image(image[near], colormap="magma", translate=(900, 900))
viewer.add_labels(labels[near], translate=(900, 900))
viewer.add_points(np.array([click]), size=4, face_color="#009e73")

if __name__ == "__main__":
    napari.run()
