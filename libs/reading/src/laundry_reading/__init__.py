"""Photo checks, decoding and the ONNX reader: one code for training and serving."""
