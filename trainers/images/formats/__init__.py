"""What image files hold beside 8-bit colours: turns, windows of deep pixels, DICOM, TIFF that Pillow cannot open."""
