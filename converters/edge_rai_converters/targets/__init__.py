"""What a conversion can be written as beside ONNX: a package a format."""
