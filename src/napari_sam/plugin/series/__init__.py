"""The dock *Image series*: folders of images, one after the other.

It imports all other folders of the plugin except the commands.
"""
