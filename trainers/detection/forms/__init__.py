"""Forms of labelled boxes, read and written: JSON by image, COCO JSON, UFO JSON, ICDAR's text files."""
