"""Segment the coins of scikit-image from boxes and from single clicks."""

from skimage.data import coins

import napari_sam as ns

image = coins()
predictor = ns.load_model("lite_medsam")

boxes = [(28, 127, 73, 178), (30, 192, 72, 242)]  # row_min, col_min, row_max, col_max
labels = ns.segment(image, boxes=boxes, model=predictor)
print(f"boxes: {labels.max()} objects, {(labels > 0).sum()} pixels")

# The image is encoded once for any number of prompts.
embedding = predictor.embed(image)
click = predictor.predict(embedding, ns.Prompt(points=[(50, 152)]))
print(f"one click: {click.mask.sum()} pixels, score {click.score:.2f}, {click.method}")
