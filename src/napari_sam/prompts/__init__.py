"""What a user says about an object: points, boxes, masks and files of them.

May import `images`, `files`.
"""
