"""SunSpec: definitions of models, discovery in a device, images for emulated devices."""
