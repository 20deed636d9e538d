"""
Boxes and a click
=================

Outline two coins by boxes, and a third by a click.
"""

import napari
from skimage.data import coins

import napari_sam as ns

image = coins()
predictor = ns.load_model("lite_medsam")
boxes = [(28, 127, 73, 178), (30, 192, 72, 242)]  # row_min, col_min, row_max, col_max
labels = ns.segment(image, boxes=boxes, model=predictor)

# An image is encoded once; then each prompt takes a moment.
embedding = predictor.embed(image)
clicked = predictor.predict(embedding, ns.Prompt(points=[(52, 292)]))
labels[clicked.mask] = 3
print(labels.max(), "objects; score of the click", round(clicked.score, 2))

viewer = napari.Viewer()
viewer.add_image(image)
viewer.add_labels(labels)

if __name__ == "__main__":
    napari.run()
