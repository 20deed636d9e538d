"""
Alternatives of a click
=======================

One click can mean a part, an object or a group. The model proposes several masks.
"""

import napari
import numpy as np

import napari_sam as ns
from napari_sam import samples

image = samples.cell()
predictor = ns.load_model("lite_medsam")
embedding = predictor.embed(image)
prediction = predictor.predict(embedding, ns.Prompt(points=[samples.CELL_CENTRE]))
for number, candidate in enumerate(prediction.candidates):
    print(f"{number}: {candidate.mask.sum()} pixels, score {candidate.score:.2f}")

viewer = napari.Viewer()
viewer.add_image(image)
for number, candidate in enumerate(prediction.candidates):
    viewer.add_labels(
        candidate.mask * np.uint8(number + 1), name=f"alternative {number}"
    ).contour = 2
viewer.add_points(np.array([samples.CELL_CENTRE]), size=12, face_color="#009e73")

if __name__ == "__main__":
    napari.run()
