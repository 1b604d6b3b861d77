"""What training minimises; images are (B, 4, H, W) reflectance, masks (B, H, W), every mean is over valid pixels."""
