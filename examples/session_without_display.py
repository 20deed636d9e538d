"""
A session without a display
===========================

Script a napari session: the same objects as in the panel, without a window.
"""

# sphinx_gallery_thumbnail_path = "images/coins.png"
import numpy as np
from napari.components import ViewerModel
from skimage.data import coins

from napari_sam.plugin.session import SamSession

viewer = ViewerModel()
viewer.add_image(coins(), name="coins", scale=(0.2, 0.2))

session = SamSession(viewer)
points, boxes = session.new_prompt_layers()
boxes.add_rectangles(np.array([(28, 127), (28, 178), (73, 178), (73, 127)]))

prediction = session.preview()
print(f"score {prediction.score:.2f}, {prediction.mask.sum()} pixels")
label = session.commit()
print(f"written as label {label} of {session.labels_layer.name!r}")

session.labels_layer.undo()  # one step per object
print(f"after undo: {session.labels_layer.data.max()} labels")
