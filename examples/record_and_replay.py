"""
The same labels again
=====================

Save a record of how labels were made, and make the same labels from it.
"""

# sphinx_gallery_thumbnail_path = "images/accepted.png"
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from napari.components import ViewerModel
from skimage.data import coins

import napari_sam as ns
from napari_sam.plugin.session import SamSession

viewer = ViewerModel()
viewer.add_image(coins(), name="coins")
session = SamSession(viewer)
session.each_prompt_an_object = True
session.intensity = ns.IntensityMapping.full()  # instead of the contrast limits
points, boxes = session.new_prompt_layers()
boxes.add_rectangles(np.array([(28, 127), (28, 178), (73, 178), (73, 127)]))
boxes.add_rectangles(np.array([(30, 192), (30, 242), (72, 242), (72, 192)]))
session.preview()
session.commit()

with TemporaryDirectory() as folder:
    path = ns.write_record(Path(folder) / "coins.json", session.record())
    record = ns.read_record(path)
for label, (entry, *_) in record["objects"].items():
    model, score = entry["model"]["name"], entry["scores"][0]["score"]
    print(f"label {label}: {model}, score {score:.2f}, {entry['prompts']}")

labels = ns.replay(record, coins())
print("the same labels again:", np.array_equal(labels, session.labels_layer.data))
