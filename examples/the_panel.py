"""
The panel from a script
=======================

Open the panel, draw a box, and let it show the outline; the session is the same object
that scripts use.
"""

import napari
import numpy as np
from skimage.data import coins

viewer = napari.Viewer()
viewer.add_image(coins(), name="coins")
_, widget = viewer.window.add_plugin_dock_widget("napari-sam")
session = widget.session
points, boxes = session.new_prompt_layers()
boxes.add_rectangles(np.array([(28, 127), (28, 178), (73, 178), (73, 127)]))
prediction = session.preview()
print(f"score {prediction.score:.2f}, {prediction.mask.sum()} pixels")
print("written as label", session.commit())

if __name__ == "__main__":
    napari.run()
